/**
 * Names and paths between JavaScript strings and byte strings (one character per byte).
 *
 * An ASCII string is its own byte string, which is nearly all of them: one scan, no copy. Others are UTF-8. A name that is
 * not UTF-8 decodes with U+FFFD for what is broken (as Node does); whoever needs it exact keeps the byte string.
 */
const NOT_ASCII = /[^\x00-\x7f]/;  

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Bytes per `String.fromCharCode` call: far below the engine's argument limit. */
const CHUNK = 4096;

/** One character per byte. */
export function latin1OfBytes(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return text;
}

/** The bytes of a byte string; characters above 0xff are cut to 8 bits. */
export function bytesOfLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The byte string of a JavaScript string, as UTF-8. */
export const encodeName = (text: string): string =>
  NOT_ASCII.test(text) ? latin1OfBytes(encoder.encode(text)) : text;

/** The JavaScript string of a byte string that holds UTF-8. */
export const decodeName = (name: string): string => (NOT_ASCII.test(name) ? decoder.decode(bytesOfLatin1(name)) : name);
