/** What callers of Node's fs may pass, turned into what the vfs takes; bad arguments throw as Node's do. */
import { fileURLToPath } from 'node:url';
import type { Timespec } from '@iomap/io';
import {
  encodeName,
  latin1OfBytes,
  decodeName,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
} from '../index.js';
import type { TimeLike } from '../index.js';
import { invalidType, invalidValue, outOfRange } from './errors.js';

/** Node's `PathLike`. */
export type Path = string | Uint8Array | URL;

const PLAIN = /^[\x01-\x7f]*$/;  

/** The byte string of a path. */
export function pathOf(path: unknown, name = 'path'): string {
  if (typeof path === 'string') {
    if (PLAIN.test(path)) return path;
    if (path.includes('\0')) throw invalidValue(name, path, 'must be a string, Uint8Array, or URL without null bytes');
    return encodeName(path);
  }
  if (path instanceof Uint8Array) {
    const bytes = latin1OfBytes(path);
    if (bytes.includes('\0')) throw invalidValue(name, bytes, 'must be a string, Uint8Array, or URL without null bytes');
    return bytes;
  }
  if (path instanceof URL) return pathOf(fileURLToPath(path, { windows: false }), name);
  throw invalidType(name, 'of type string or an instance of Buffer or URL', path);
}

/** True when `path` is a string that is its own byte string: the fast paths take no other. */
export const isPlainPath = (path: unknown): path is string => typeof path === 'string' && PLAIN.test(path);

/** The byte string of a path, or a descriptor. */
export const pathOrFd = (target: unknown): string | number =>
  typeof target === 'number' ? fdOf(target) : pathOf(target);

export function fdOf(fd: unknown): number {
  if (typeof fd !== 'number') throw invalidType('fd', 'of type number', fd);
  if (!Number.isInteger(fd)) throw outOfRange('fd', 'an integer', fd);
  if (fd < 0 || fd > 2_147_483_647) throw outOfRange('fd', '>= 0 && <= 2147483647', fd);
  return fd;
}

export function integerOf(value: unknown, name: string, min: number = -Number.MAX_SAFE_INTEGER, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
  return value;
}

/** A mode: a number, or a string of octal digits. */
export function modeOf(mode: unknown, fallback?: number, name = 'mode'): number {
  const value = mode ?? fallback;
  if (typeof value === 'string') {
    if (!/^[0-7]+$/.test(value)) throw invalidValue(name, value, 'must be a 32-bit unsigned integer or an octal string');
    return parseInt(value, 8);
  }
  return integerOf(value, name, 0, 0xffff_ffff);
}

const FLAGS: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  'sr+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  xw: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  'xw+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  xa: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  sa: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'xa+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
  'sa+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
};

/** Open flags: a number of `constants`, or Node's strings. */
export function flagsOf(flags: unknown, fallback = 'r'): number {
  const value = flags ?? fallback;
  if (typeof value === 'number') return integerOf(value, 'flags', 0, 0x7fff_ffff);
  const known = typeof value === 'string' && Object.hasOwn(FLAGS, value) ? FLAGS[value] : undefined;
  if (known === undefined) throw invalidValue('flags', value, 'is invalid');
  return known;
}

/** A time: seconds (with a fraction), a Date, a string of seconds, or exact nanoseconds. */
export function timeOf(value: unknown, name: string): TimeLike {
  if (value instanceof Date) return ofMilliseconds(value.getTime(), name);
  if (typeof value === 'object' && value !== null && 'sec' in value && 'nsec' in value) {
    return {
      sec: integerOf(value.sec, `${name}.sec`),
      nsec: integerOf(value.nsec, `${name}.nsec`, 0, 999_999_999),
    };
  }
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) throw invalidType(name, 'of type number, string or Date', value);
  const sec = Math.floor(seconds);
  // A double holds today's seconds to about a fifth of a microsecond.
  return carry(sec, Math.round((seconds - sec) * 1e6) * 1000);
}

const carry = (sec: number, nsec: number): Timespec => (nsec >= 1e9 ? { sec: sec + 1, nsec: nsec - 1e9 } : { sec, nsec });

function ofMilliseconds(ms: number, name: string): Timespec {
  if (Number.isNaN(ms)) throw invalidType(name, 'a valid Date', ms);
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}

/** An options argument that may be an encoding. */
export function optionsOf(options: unknown): Record<string, unknown> {
  if (options === undefined || options === null || typeof options === 'function') return {};
  if (typeof options === 'string') return { encoding: options };
  if (typeof options !== 'object') throw invalidType('options', 'of type string or an instance of Object', options);
  return options as Record<string, unknown>;
}

/** An encoding, 'buffer' included; undefined where none was given. */
export function encodingOf(encoding: unknown): BufferEncoding | 'buffer' | undefined {
  if (encoding === undefined || encoding === null) return undefined;
  if (encoding === 'buffer') return 'buffer';
  if (typeof encoding !== 'string' || !Buffer.isEncoding(encoding)) {
    throw invalidValue('encoding', encoding, 'is invalid encoding');
  }
  return encoding;
}

/** A name or path for the caller: a string as UTF-8, or as `encoding` says. */
export function nameFor(name: string, encoding: BufferEncoding | 'buffer' | undefined): string | Buffer {
  if (encoding === undefined || encoding === 'utf8' || encoding === 'utf-8') return decodeName(name);
  const bytes = Buffer.from(name, 'latin1');
  return encoding === 'buffer' ? bytes : bytes.toString(encoding);
}

/** The bytes of what a write is given. */
export function bytesOf(data: unknown, encoding: unknown, name = 'buffer'): Uint8Array {
  if (typeof data === 'string') {
    const known = encodingOf(encoding) ?? 'utf8';
    return Buffer.from(data, known === 'buffer' ? 'utf8' : known);
  }
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw invalidType(name, 'of type string or an instance of Buffer, TypedArray, or DataView', data);
}
