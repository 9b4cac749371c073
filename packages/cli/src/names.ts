/**
 * File names as bytes and as text.
 *
 * Inside an image a name is a byte string (one character per byte). People and JSON see text: UTF-8 where the bytes are
 * valid UTF-8. Control characters never reach a terminal raw, so an image cannot drive it.
 *
 * - `toName` / `toText`: text to bytes and back (invalid UTF-8 becomes U+FFFD)
 * - `isUtf8`: whether `toText` loses nothing
 * - `shown`: safe for one line of a terminal: control characters and invalid bytes as `\ooo`
 */
import type { Name } from '@iomap/vfs';

 
const ASCII = /^[\x00-\x7f]*$/;
 
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text (UTF-16) to the byte string of its UTF-8. */
export const toName = (text: string): Name =>
  ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');

/** A byte string to text; bytes that are not UTF-8 become U+FFFD. */
export const toText = (name: Name): string =>
  ASCII.test(name) ? name : Buffer.from(name, 'latin1').toString('utf8');

/** The bytes of a byte string. */
export const toBytes = (name: Name): Buffer => Buffer.from(name, 'latin1');

/** Bytes to a byte string. */
export const fromBytes = (bytes: Uint8Array): Name =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** A host path for Node from a byte string: a plain string where that is the same bytes (faster), else a Buffer. */
export const toHostPath = (name: Name): string | Buffer => (ASCII.test(name) ? name : Buffer.from(name, 'latin1'));

/** Whether the bytes are valid UTF-8. */
export function isUtf8(name: Name): boolean {
  if (ASCII.test(name)) return true;
  try {
    strict.decode(toBytes(name));
    return true;
  } catch {
    return false;
  }
}

const octal = (byte: number): string => `\\${byte.toString(8).padStart(3, '0')}`;

/** One line's worth of a name: UTF-8 as it is, control characters and bytes that are not UTF-8 as `\ooo`. */
export function shown(name: Name): string {
  if (!isUtf8(name)) {
     
    return name.replace(/[^\x20-\x7e]/g, (c) => octal(c.charCodeAt(0)));
  }
  return toText(name).replace(UNSAFE, (c) => [...Buffer.from(c, 'utf8')].map(octal).join(''));
}

/** A name for JSON: text, and the exact bytes in base64 beside it where text would lose them. */
export function jsonName(key: string, name: Name): Record<string, string> {
  return isUtf8(name)
    ? { [key]: toText(name) }
    : { [key]: toText(name), [`${key}Base64`]: toBytes(name).toString('base64') };
}
