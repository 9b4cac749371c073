/** `Stats`, `BigIntStats` and `StatsFs`: Node's shapes, made straight from an inode; dates are made when asked for. */
import type { Timespec } from '@iomap/io';
import { S_IFMT, type Attr, type StatFs } from '../index.js';
import type { Context } from './context.js';

const msOf = (time: Timespec): number => time.sec * 1000 + time.nsec / 1_000_000;
const nsOf = (time: Timespec): bigint => BigInt(time.sec) * 1_000_000_000n + BigInt(time.nsec);

const isType = (mode: number | bigint, type: number): boolean => (Number(mode) & S_IFMT) === type;

/** A date made when first asked for, which then becomes a property of its own. Node rounds to the nearest millisecond. */
function lazyDate(stats: object, field: string, ms: number): Date {
  const value = new Date(Math.round(ms));
  Object.defineProperty(stats, field, { configurable: true, enumerable: true, writable: true, value });
  return value;
}

/** Attributes of a file, as `fs.Stats`. */
export class Stats {
  readonly dev: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;

  constructor(ctx: Context, attr: Attr) {
    this.dev = ctx.dev;
    this.mode = attr.mode;
    this.nlink = attr.nlink;
    this.uid = attr.uid;
    this.gid = attr.gid;
    this.rdev = attr.rdev;
    this.blksize = ctx.blockSize;
    this.ino = attr.ino;
    this.size = attr.size;
    this.blocks = attr.blocks;
    this.atimeMs = msOf(attr.atime);
    this.mtimeMs = msOf(attr.mtime);
    this.ctimeMs = msOf(attr.ctime);
    this.birthtimeMs = msOf(attr.btime ?? attr.ctime);
  }

  get atime(): Date {
    return lazyDate(this, 'atime', this.atimeMs);
  }

  get mtime(): Date {
    return lazyDate(this, 'mtime', this.mtimeMs);
  }

  get ctime(): Date {
    return lazyDate(this, 'ctime', this.ctimeMs);
  }

  get birthtime(): Date {
    return lazyDate(this, 'birthtime', this.birthtimeMs);
  }

  isFile(): boolean {
    return isType(this.mode, 0o100000);
  }

  isDirectory(): boolean {
    return isType(this.mode, 0o040000);
  }

  isSymbolicLink(): boolean {
    return isType(this.mode, 0o120000);
  }

  isFIFO(): boolean {
    return isType(this.mode, 0o010000);
  }

  isSocket(): boolean {
    return isType(this.mode, 0o140000);
  }

  isBlockDevice(): boolean {
    return isType(this.mode, 0o060000);
  }

  isCharacterDevice(): boolean {
    return isType(this.mode, 0o020000);
  }
}

/** The same with bigints and nanoseconds, as `fs.BigIntStats`. */
export class BigIntStats {
  readonly dev: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly blksize: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly ctimeMs: bigint;
  readonly birthtimeMs: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;

  constructor(ctx: Context, attr: Attr) {
    this.dev = BigInt(ctx.dev);
    this.blksize = BigInt(ctx.blockSize);
    this.mode = BigInt(attr.mode);
    this.nlink = BigInt(attr.nlink);
    this.uid = BigInt(attr.uid);
    this.gid = BigInt(attr.gid);
    this.rdev = BigInt(attr.rdev);
    this.ino = BigInt(attr.ino);
    this.size = BigInt(attr.size);
    this.blocks = BigInt(attr.blocks);
    this.atimeNs = nsOf(attr.atime);
    this.mtimeNs = nsOf(attr.mtime);
    this.ctimeNs = nsOf(attr.ctime);
    this.birthtimeNs = nsOf(attr.btime ?? attr.ctime);
    this.atimeMs = this.atimeNs / 1_000_000n;
    this.mtimeMs = this.mtimeNs / 1_000_000n;
    this.ctimeMs = this.ctimeNs / 1_000_000n;
    this.birthtimeMs = this.birthtimeNs / 1_000_000n;
  }

  get atime(): Date {
    return lazyDate(this, 'atime', Number(this.atimeNs) / 1e6);
  }

  get mtime(): Date {
    return lazyDate(this, 'mtime', Number(this.mtimeNs) / 1e6);
  }

  get ctime(): Date {
    return lazyDate(this, 'ctime', Number(this.ctimeNs) / 1e6);
  }

  get birthtime(): Date {
    return lazyDate(this, 'birthtime', Number(this.birthtimeNs) / 1e6);
  }

  isFile(): boolean {
    return isType(this.mode, 0o100000);
  }

  isDirectory(): boolean {
    return isType(this.mode, 0o040000);
  }

  isSymbolicLink(): boolean {
    return isType(this.mode, 0o120000);
  }

  isFIFO(): boolean {
    return isType(this.mode, 0o010000);
  }

  isSocket(): boolean {
    return isType(this.mode, 0o140000);
  }

  isBlockDevice(): boolean {
    return isType(this.mode, 0o060000);
  }

  isCharacterDevice(): boolean {
    return isType(this.mode, 0o020000);
  }
}

/** `fs.StatsFs`. */
export class StatsFs<T extends number | bigint = number> {
  readonly type: T;
  readonly bsize: T;
  readonly blocks: T;
  readonly bfree: T;
  readonly bavail: T;
  readonly files: T;
  readonly ffree: T;

  constructor(stat: StatFs, as: (n: number) => T) {
    this.type = as(stat.type);
    this.bsize = as(stat.blockSize);
    this.blocks = as(stat.blocks);
    this.bfree = as(stat.blocksFree);
    this.bavail = as(stat.blocksAvailable);
    this.files = as(stat.files);
    this.ffree = as(stat.filesFree);
  }
}
