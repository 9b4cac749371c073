/**
 * The operations of the random workload: plain data, so that a run can be printed, replayed and shrunk.
 *
 * - Paths are byte strings without a leading '/'; no component is a symlink but the last, and none is '.' or '..'.
 * - Written bytes come from one pool: `at` is where in it they start.
 */
import type { Io } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { random } from './random.js';

interface Range {
  readonly pos: number;
  readonly len: number;
}
interface Payload extends Range {
  /** Where in the pool the bytes start. */
  readonly at: number;
}
interface On {
  readonly path: Name;
}
interface OnHandle {
  readonly slot: number;
}

export type Op =
  | (On & { readonly op: 'create' | 'mkdir' | 'chmod'; readonly mode: number })
  | (On & { readonly op: 'mknod'; readonly mode: number; readonly rdev: number })
  | (On & { readonly op: 'symlink'; readonly target: Name })
  | (On & { readonly op: 'link' | 'rename'; readonly to: Name })
  | (On & { readonly op: 'unlink' | 'rmdir' | 'stat' | 'readdir' | 'readlink' | 'listxattr' | 'fsync' })
  | (On & Payload & { readonly op: 'write' })
  | (On & Range & { readonly op: 'read' })
  | (On & { readonly op: 'truncate'; readonly size: number })
  | (On & { readonly op: 'chown'; readonly uid: number; readonly gid: number })
  | (On & { readonly op: 'setxattr'; readonly name: Name; readonly at: number; readonly len: number; readonly mode: XattrMode })
  | (On & { readonly op: 'getxattr' | 'removexattr'; readonly name: Name })
  | (On & OnHandle & { readonly op: 'open' })
  | (OnHandle & { readonly op: 'close' | 'hstat' | 'hfsync' })
  | (OnHandle & Payload & { readonly op: 'hwrite' })
  | (OnHandle & Range & { readonly op: 'hread' })
  | (OnHandle & { readonly op: 'htruncate'; readonly size: number })
  | { readonly op: 'sync' | 'remount' };

export type XattrMode = 'any' | 'create' | 'replace';
export type OpKind = Op['op'];

/** How an operation ended: 'ok' or an errno name, and what it answered. */
export interface Outcome {
  readonly code: string;
  /** A count, an attribute line, sorted names … */
  readonly value?: string | number;
  readonly bytes?: Uint8Array;
}

export const OK: Outcome = { code: 'ok' };

/** Whatever the operations are done to: a mount, memfs, a folder of the host. */
export interface Subject {
  readonly name: string;
  /** Operations that it has; others are left out of a run with it. */
  readonly lacks?: ReadonlySet<OpKind>;
  /** Does one operation; its failure is an outcome, a bug of ours is thrown. */
  apply(op: Op): Io<Outcome>;
}

const POOL_BYTES = 1024 * 1024;
const pool = ((): Uint8Array => {
  const bytes = new Uint8Array(POOL_BYTES);
  random(0x706f6f6c).fill(bytes);
  // Some stretches are zero: written zeroes must not become holes that read back as something else.
  for (let at = 0; at < POOL_BYTES; at += 64 * 1024) bytes.fill(0, at + 50_000, at + 50_000 + 8192);
  return bytes;
})();

/** `len` bytes of the pool from `at` (taken modulo what fits), without a copy: do not change them. */
export function poolBytes(at: number, len: number): Uint8Array {
  if (len > POOL_BYTES) throw new RangeError(`poolBytes: ${len} is more than the pool has`);
  const start = len === POOL_BYTES ? 0 : at % (POOL_BYTES - len);
  return pool.subarray(start, start + len);
}

/** The attribute line that `stat` answers. */
export const statLine = (node: {
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly rdev: number;
}): string =>
  `${node.type} ${node.mode} ${node.uid}:${node.gid} ${node.nlink} ${node.type === 'file' ? node.size : '-'} ${node.rdev}`;

/** True when two outcomes are the same. */
export function sameOutcome(a: Outcome, b: Outcome): boolean {
  if (a.code !== b.code || a.value !== b.value) return false;
  if (a.bytes === undefined || b.bytes === undefined) return a.bytes === b.bytes;
  return a.bytes.length === b.bytes.length && Buffer.compare(a.bytes, b.bytes) === 0;
}

/** An outcome for people. */
export function showOutcome(outcome: Outcome): string {
  const parts = [outcome.code];
  if (outcome.value !== undefined) parts.push(JSON.stringify(outcome.value));
  if (outcome.bytes !== undefined) {
    const hex = Buffer.from(outcome.bytes.subarray(0, 16)).toString('hex');
    parts.push(`${outcome.bytes.length} bytes ${hex}${outcome.bytes.length > 16 ? '…' : ''}`);
  }
  return parts.join(' ');
}

/** Where two answers of bytes first differ, for people. */
export function showByteDifference(a: Outcome, b: Outcome): string {
  if (a.bytes === undefined || b.bytes === undefined) return '';
  const length = Math.min(a.bytes.length, b.bytes.length);
  for (let i = 0; i < length; i++) {
    if (a.bytes[i] !== b.bytes[i]) return ` (first difference at byte ${i} of the answer)`;
  }
  return a.bytes.length === b.bytes.length ? '' : ` (lengths ${a.bytes.length} and ${b.bytes.length})`;
}
