import { bareYield } from './bare-yield.js';
import { ruleTester } from '../rule-tester.js';

const tester = ruleTester();
const untyped = { parserOptions: { project: null } };

tester.run('bare-yield', bareYield, {
  valid: [
    { code: 'function* f() { yield* g(); }', languageOptions: untyped },
    {
      code: 'function* submit(request) { const done = yield request; }',
      filename: '/repo/packages/io/src/submit.ts',
      languageOptions: untyped,
    },
    { code: 'function* f() { yield 1; }', filename: '/repo/a.ts', options: [{ allow: ['a.ts'] }], languageOptions: untyped },
  ],
  invalid: [
    { code: 'function* f() { yield 1; }', errors: [{ messageId: 'bare' }], languageOptions: untyped },
    { code: 'function* f() { const x = yield; }', errors: [{ messageId: 'bare' }], languageOptions: untyped },
    {
      code: 'function* submit(request) { yield request; }',
      filename: '/repo/packages/vfs/src/submit.ts',
      errors: [{ messageId: 'bare' }],
      languageOptions: untyped,
    },
  ],
});
