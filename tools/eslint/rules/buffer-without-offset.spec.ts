import { bufferWithoutOffset } from './buffer-without-offset.js';
import { reported, ruleTester, typed } from '../rule-tester.js';

ruleTester().run('buffer-without-offset', bufferWithoutOffset, {
  valid: typed([
    'declare const u: Uint8Array; new DataView(u.buffer, u.byteOffset, u.byteLength);',
    'declare const u: Uint8Array; new Uint32Array(u.buffer, u.byteOffset + 8, 2);',
    'declare const o: { u: Uint8Array }; new DataView(o.u.buffer, o.u.byteOffset);',
    'declare const u: Uint8Array; new DataView(u.buffer as ArrayBuffer, u.byteOffset);',
    'declare const u: Uint8Array; const { byteOffset } = u; new DataView(u.buffer, byteOffset + 4);',
    'declare const u: Uint8Array, v: Uint8Array; if (u.buffer === v.buffer) { }',
    'declare const u: Uint8Array; u.buffer.byteLength;',
    // Made whole, so it starts at 0.
    'const u = new Uint8Array(4); new DataView(u.buffer);',
    'new DataView(new Uint8Array(4).buffer);',
    // Something else that has a buffer.
    'declare const page: { buffer: Uint8Array }; page.buffer;',
  ]),
  invalid: reported('offset', [
    'declare const u: Uint8Array; new DataView(u.buffer);',
    'let u = new Uint8Array(4); u = u.subarray(1); new DataView(u.buffer);',
    'const u = new Uint8Array(4).subarray(1); new DataView(u.buffer);',
    'const u = new Uint8Array(new ArrayBuffer(8), 4); new DataView(u.buffer);',
    'function f(u: Uint8Array) { const v = new Uint8Array(u.length); return new DataView(u.buffer); }',
    'declare const v: DataView; new Uint8Array(v.buffer, 0, 4);',
    'declare const u: Uint8Array; const whole = u.buffer;',
    'declare const o: { u: Uint8Array }; new DataView(o.u.buffer);',
    'declare const u: Uint8Array, v: Uint8Array; new DataView(u.buffer, v.byteOffset);',
    'function f<T extends Uint8Array>(u: T) { return new DataView(u.buffer); }',
    'declare const u: Uint8Array | undefined; new DataView(u!.buffer);',
    'class A { bytes = new Uint8Array(4); view() { return new DataView(this.bytes.buffer); } }',
  ]),
});
