/** `Stats`, `BigIntStats` and `StatsFs`: Node's shapes, made straight from an inode; dates are made when asked for. */
import type { Timespec } from '@iomap/io';
import { S_IFMT, type Attr, type StatFs } from '../index.js';

const BLOCK_SIZE = 4096;

const msOf = (time: Timespec): number => time.sec * 1000 + time.nsec / 1_000_000;
const nsOf = (time: Timespec): bigint => BigInt(time.sec) * 1_000_000_000n + BigInt(time.nsec);

type DateField = 'atime' | 'mtime' | 'ctime' | 'birthtime';
type TypeTest = 'isFile' | 'isDirectory' | 'isSymbolicLink' | 'isFIFO' | 'isSocket' | 'isBlockDevice' | 'isCharacterDevice';

const TESTS: Readonly<Record<TypeTest, number>> = {
  isFile: 0o100000,
  isDirectory: 0o040000,
  isSymbolicLink: 0o120000,
  isFIFO: 0o010000,
  isSocket: 0o140000,
  isBlockDevice: 0o060000,
  isCharacterDevice: 0o020000,
};

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

  constructor(dev: number, attr: Attr) {
    this.dev = dev;
    this.mode = attr.mode;
    this.nlink = attr.nlink;
    this.uid = attr.uid;
    this.gid = attr.gid;
    this.rdev = attr.rdev;
    this.blksize = BLOCK_SIZE;
    this.ino = attr.ino;
    this.size = attr.size;
    this.blocks = attr.blocks;
    this.atimeMs = msOf(attr.atime);
    this.mtimeMs = msOf(attr.mtime);
    this.ctimeMs = msOf(attr.ctime);
    this.birthtimeMs = msOf(attr.btime ?? attr.ctime);
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
  readonly blksize = BigInt(BLOCK_SIZE);
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

  constructor(dev: number, attr: Attr) {
    this.dev = BigInt(dev);
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
}

export interface Stats extends Readonly<Record<TypeTest, () => boolean>> {
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;
}

export interface BigIntStats extends Readonly<Record<TypeTest, () => boolean>> {
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;
}

/** Adds the type tests and the date getters; a date that was asked for becomes a property of its own. */
function complete(prototype: object, modeOf: (stats: never) => number, millisecondsOf: (stats: never, field: DateField) => number): void {
  for (const [name, type] of Object.entries(TESTS)) {
    Object.defineProperty(prototype, name, {
      configurable: true,
      writable: true,
      value: function test(this: never): boolean {
        return (modeOf(this) & S_IFMT) === type;
      },
    });
  }
  for (const field of ['atime', 'mtime', 'ctime', 'birthtime'] as const) {
    const own = (stats: object, value: unknown): void => {
      Object.defineProperty(stats, field, { configurable: true, enumerable: true, writable: true, value });
    };
    Object.defineProperty(prototype, field, {
      configurable: true,
      enumerable: true,
      get(this: never): Date {
        // Node rounds to the nearest millisecond.
        const date = new Date(Math.round(millisecondsOf(this, field)));
        own(this, date);
        return date;
      },
      set(this: never, value: unknown) {
        own(this, value);
      },
    });
  }
}

complete(
  Stats.prototype,
  (stats: Stats) => stats.mode,
  (stats: Stats, field) => stats[`${field}Ms`],
);
complete(
  BigIntStats.prototype,
  (stats: BigIntStats) => Number(stats.mode),
  (stats: BigIntStats, field) => Number(stats[`${field}Ns`]) / 1e6,
);

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
