/** The house's own ESLint rules, as a plugin under the name `iomap`. */
import { bareYield } from './rules/bare-yield.js';
import { bufferWithoutOffset } from './rules/buffer-without-offset.js';
import { floatingIo } from './rules/floating-io.js';
import { noAddressBitOperators } from './rules/no-address-bit-operators.js';
import { noYieldInFinally } from './rules/no-yield-in-finally.js';

export const plugin = {
  meta: { name: 'iomap' },
  rules: {
    'bare-yield': bareYield,
    'buffer-without-offset': bufferWithoutOffset,
    'floating-io': floatingIo,
    'no-address-bit-operators': noAddressBitOperators,
    'no-yield-in-finally': noYieldInFinally,
  },
};
