import { noAddressBitOperators } from './no-address-bit-operators.js';
import { reported, ruleTester, typed } from '../rule-tester.js';

ruleTester().run('no-address-bit-operators', noAddressBitOperators, {
  valid: typed([
    'declare const mode: number; mode & 0o777;',
    'declare const flags: number; flags | 1;',
    'declare const shift: number; 1 << shift;',
    // The count of a shift may be called anything.
    'declare const blockSize: number; 1 << blockSize;',
    // Words that only end alike, or name something about an address.
    'declare const oppose: number, domino: number, resize: number, blockBits: number; (oppose & domino) | (resize ^ blockBits);',
    'declare const bytes: Uint8Array; bytes[0]! & 1;',
    'declare const filePos: bigint; filePos >> 9n;',
    'declare const offset: bigint; ~(offset & 7n);',
    'declare const pos: number; Math.floor(pos / 8) * 2 ** 3;',
  ]),
  invalid: reported('truncates', [
    'declare const pos: number; pos >> 9;',
    'declare const pos: number; pos >>> 9;',
    'declare const block: number; block << 2;',
    'declare const i_size: number; i_size & 511;',
    'declare const diskOffset: number; ~diskOffset;',
    'declare const lengthBytes: number; lengthBytes | 0;',
    'let addr = 0; addr |= 1;',
    'declare const inode: { ino: number }; 7 & inode.ino;',
    'declare function posOf(): number; declare function getPos(): number; getPos() & 1;',
    // By type, whatever the name.
    'declare const n: FsBlock; n >> 3;',
    'declare const n: Ino; n ^ 1;',
  ]),
});
