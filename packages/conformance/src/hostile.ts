/**
 * Hostile images: each mutant is mounted, walked, read and checked, and must end in a result or an FsError, in bounded
 * time and memory. The check's verdict is compared with the real tool's.
 *
 * Plain code that loops without a request cannot be stopped from inside: run in a worker (tools/soak) whose parent
 * watches the seed it is at.
 */
import { fixedEnv, FsError, runSync, type Io } from '@iomap/io';

import type { FileSystem, Inode } from '@iomap/vfs';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckSummary, DriverUnderTest, StructurePlace } from './driver.js';
import { listDirectory, typeOfMode } from './fs-tree.js';
import { imageDevice } from './image-device.js';
import { mutateImage, type Mutation, type MutationKind } from './mutate.js';
import { oracle } from './oracle.js';
import { removeScratch, scratchDir, writeImage } from './scratch.js';

export interface HostileBase {
  readonly name: string;
  /** A sound image, populated; 64 KiB to a few MiB. */
  readonly bytes: Uint8Array;
  readonly blockSize: number;
  readonly structures: readonly StructurePlace[];
}

export interface HostileOptions {
  readonly driver: DriverUnderTest;
  readonly bases: readonly HostileBase[];
  /** The first seed; each mutant has its own, one after the other. */
  readonly seed: number;
  readonly count: number;
  readonly kinds?: readonly MutationKind[];
  /** Every how many mutants the real tool judges too; 0 = never. Default 10. */
  readonly judgeEvery?: number;
  /** Every how many mutants are mounted for writing and written to. Default 4. */
  readonly writeEvery?: number;
  /** What one mutant may take. Default 2,000 ms and 512 MiB of buffers (those not yet collected too). */
  readonly msMax?: number;
  readonly bytesMax?: number;
  readonly biosMax?: number;
  /** Called before each mutant (a watcher learns where a run hangs). */
  readonly at?: (seed: number, index: number) => void;
  readonly stop?: () => boolean;
}

/** A mutant that did not end as it should. */
export interface HostileFailure {
  readonly seed: number;
  readonly base: string;
  readonly stage: string;
  readonly changes: readonly string[];
  readonly what: string;
}

/** Where our check and the real one differ. */
export interface Disagreement {
  readonly seed: number;
  readonly base: string;
  /** 'missed': the tool finds damage that we do not; 'extra': the other way round. */
  readonly kind: 'missed' | 'extra';
  readonly changes: readonly string[];
  readonly findings: readonly string[];
  readonly tool: readonly string[];
}

export interface HostileReport {
  readonly mutants: number;
  /** "mount ok", "walk EUCLEAN", "check EIO" … to how often. */
  readonly outcomes: Record<string, number>;
  readonly byKind: Record<string, number>;
  readonly judged: number;
  /** The tool crashed or was stopped after 15 s: not judged. */
  readonly toolFailed: number;
  /** Of those judged: the tool found damage; we found it too. */
  readonly damaged: number;
  readonly found: number;
  /** Both said the same. */
  readonly agreed: number;
  readonly disagreements: readonly Disagreement[];
  readonly failures: readonly HostileFailure[];
  readonly slowestMs: number;
  readonly slowestSeed: number;
  readonly peakBytes: number;
}

/** Bounds of one exercise, so that a claim of 2^40 bytes or entries costs little. */
const READ_MAX = 256 * 1024;
const ENTRIES_MAX = 20_000;
const NODES_MAX = 3000;

/** Where reads go: nobody looks at what they found. */
const sink = new Uint8Array(64 * 1024);

/** Everything of one inode that a reader may ask for. */
function* exerciseInode(fs: FileSystem, inode: Inode, note: (stage: string, error: unknown) => void): Io<void> {
  const attempt = function* (stage: string, io: () => Io<unknown>): Io<void> {
    try {
      yield* io();
    } catch (error) {
      note(stage, error);
    }
  };
  const type = typeOfMode(inode.mode);
  if (fs.traits.xattrs) {
    yield* attempt('xattr', function* () {
      for (const name of (yield* fs.listxattr(inode)).slice(0, 1000)) yield* fs.getxattr(inode, name);
    });
  }
  if (type === 'symlink') yield* attempt('readlink', () => fs.readlink(inode));
  if (type !== 'file') return;
  yield* attempt('read', function* () {
    for (let pos = 0; pos < Math.min(inode.size, READ_MAX); pos += sink.length) yield* fs.read(inode, pos, sink);
    if (inode.size > READ_MAX) {
      yield* fs.read(inode, inode.size - sink.length, sink);
      yield* fs.read(inode, Math.floor(inode.size / 2), sink);
    }
  });
  yield* attempt('seek', function* () {
    for (let pos = 0, n = 0; pos < inode.size && n < 64; n++) {
      const data = yield* fs.seek(inode, pos, 'data');
      pos = yield* fs.seek(inode, data, 'hole');
    }
  });
  yield* attempt('fiemap', function* () {
    let left = 1000;
    yield* fs.fiemap(inode, 0, inode.size, () => --left > 0);
    yield* fs.bmap(inode, 0);
  });
}

/** Walks a mounted image and reads what is there; each failure goes to `note`. */
export function* exerciseFs(fs: FileSystem, note: (stage: string, error: unknown) => void): Io<void> {
  const seen = new Set<number>();
  const todo = [fs.rootIno];
  for (let ino = todo.pop(); ino !== undefined && seen.size < NODES_MAX; ino = todo.pop()) {
    if (seen.has(ino)) continue;
    seen.add(ino);
    try {
      const inode = yield* fs.readInode(ino);
      if (typeOfMode(inode.mode) === 'directory') {
        const entries = yield* listDirectory(fs, inode, ENTRIES_MAX);
        for (const entry of entries) todo.push(entry.ino);
        for (const entry of entries.slice(0, 50)) yield* fs.lookup(inode, entry.name);
        yield* fs.lookup(inode, 'no such name');
      }
      yield* exerciseInode(fs, inode, note);
      if (!fs.isEvictable(inode)) yield* fs.evictInode(inode);
    } catch (error) {
      note('walk', error);
    }
  }
  try {
    yield* fs.statfs();
  } catch (error) {
    note('statfs', error);
  }
}

/** Changes a mounted image: makes, writes, truncates, renames, removes. Each failure goes to `note`. */
export function* vandalizeFs(fs: FileSystem, note: (stage: string, error: unknown) => void): Io<void> {
  const now = { sec: 1_700_000_000, nsec: 0 };
  const init = { mode: 0o100644, uid: 0, gid: 0, rdev: 0, now };
  const attempt = function* <T>(stage: string, io: () => Io<T>): Io<T | undefined> {
    try {
      return yield* io();
    } catch (error) {
      note(stage, error);
      return undefined;
    }
  };
  const root = yield* attempt('w-root', () => fs.readInode(fs.rootIno));
  if (root === undefined) return;
  const known = (yield* attempt('w-readdir', () => listDirectory(fs, root, ENTRIES_MAX))) ?? [];
  const file = yield* attempt('w-create', () => fs.create(root, 'hostile-new', init));
  if (file !== undefined) {
    const bytes = new Uint8Array(40_000).fill(7);
    yield* attempt('w-write', () => fs.write(file, 0, bytes));
    yield* attempt('w-sparse', () => fs.write(file, 2 ** 26, bytes.subarray(0, 100)));
    yield* attempt('w-xattr', () => fs.setxattr(file, 'user.h', bytes.subarray(0, 50), 'any', now));
    yield* attempt('w-rename', () =>
      fs.rename({ dir: root, name: 'hostile-new', inode: file }, { dir: root, name: 'hostile-moved', target: undefined }, now));
    yield* attempt('w-truncate', () => fs.setattr(file, { size: 5000 }));
    yield* attempt('w-fsync', () => fs.fsync(file, false));
  }
  const dir = yield* attempt('w-mkdir', () => fs.create(root, 'hostile-dir', { ...init, mode: 0o040755 }));
  if (dir !== undefined) yield* attempt('w-evict', () => fs.evictInode(dir));
  for (const entry of known.slice(0, 12)) {
    const inode = yield* attempt('w-read', () => fs.readInode(entry.ino));
    // The vfs would refuse an entry for the root, or for what is in use already.
    if (inode === undefined || inode.ino === root.ino || inode.ino === file?.ino) continue;
    const type = typeOfMode(inode.mode);
    if (type === 'directory') yield* attempt('w-rmdir', () => fs.rmdir(root, entry.name, inode, now));
    else yield* attempt('w-unlink', () => fs.unlink(root, entry.name, inode, now));
    yield* attempt('w-evict', () => fs.evictInode(inode));
  }
  if (file !== undefined) yield* attempt('w-evict', () => fs.evictInode(file));
  yield* attempt('w-sync', () => fs.sync());
}

interface Tally {
  readonly outcomes: Record<string, number>;
  readonly byKind: Record<string, number>;
  readonly failures: HostileFailure[];
}

/** Runs one stage of a mutant: ok, an FsError's code, or a failure of ours. */
function stage<T>(tally: Tally, name: string, mutant: { base: string; mutation: Mutation }, run: () => T): T | undefined {
  try {
    const result = run();
    count(tally.outcomes, `${name} ok`);
    return result;
  } catch (error) {
    noteError(tally, name, mutant, error);
    return undefined;
  }
}

const count = (counts: Record<string, number>, key: string): void => {
  counts[key] = (counts[key] ?? 0) + 1;
};

function noteError(tally: Tally, name: string, mutant: { base: string; mutation: Mutation }, error: unknown): void {
  if (error instanceof FsError) {
    count(tally.outcomes, `${name} ${error.code}`);
    return;
  }
  count(tally.outcomes, `${name} BUG`);
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  fail(tally, name, mutant, what);
}

function fail(tally: Tally, stageName: string, mutant: { base: string; mutation: Mutation }, what: string): void {
  if (tally.failures.length >= 200) return;
  const { seed, changes } = mutant.mutation;
  tally.failures.push({ seed, base: mutant.base, stage: stageName, changes, what });
}

/** What a real tool says of an image. */
export interface Verdict {
  readonly clean: boolean;
  /** False: the tool crashed or did not come to an end (on hostile images some do). */
  readonly ended: boolean;
  readonly lines: readonly string[];
}

/** Judges an image with the driver's real tool. */
export function judgeImage(driver: DriverUnderTest, path: string, timeoutMs = 60_000): Verdict {
  if (driver.fsck === undefined) throw new Error(`${driver.name} names no tool that judges its images`);
  const args = driver.fsck === 'e2fsck' ? ['-fn', path] : driver.fsck === 'fsck-minix' ? ['-f', path] : ['-n', path];
  // On hostile images some tools print without an end.
  const done = oracle(driver.fsck).run(args, { timeoutMs, outputMax: 16 * 2 ** 20 });
  return { clean: done.status === 0, ended: done.status >= 0, lines: `${done.stdout}\n${done.stderr}`.split('\n').filter((line) => line !== '') };
}

/**
 * Runs mutants of the bases in turn. Nothing is thrown for a mutant: all is in the report.
 */
export function runHostile(options: HostileOptions): HostileReport {
  const { driver, bases } = options;
  const msMax = options.msMax ?? 2000;
  const tally: Tally = { outcomes: {}, byKind: {}, failures: [] };
  const totals = { mutants: 0, judged: 0, toolFailed: 0, damaged: 0, found: 0, agreed: 0, slowestMs: 0, slowestSeed: options.seed, peakBytes: 0 };
  const disagreements: Disagreement[] = [];
  const scratch = scratchDir('iomap-hostile');
  const sizeMax = Math.max(...bases.map((base) => base.bytes.length));
  const work = new Uint8Array(sizeMax);
  try {
    for (let index = 0; index < options.count && options.stop?.() !== true; index++) {
      const seed = options.seed + index;
      options.at?.(seed, index);
      const base = bases[seed % bases.length];
      if (base === undefined) break;
      const bytes = work.subarray(0, base.bytes.length);
      bytes.set(base.bytes);
      const mutation = mutateImage(bytes, seed, {
        blockSize: base.blockSize,
        structures: base.structures,
        ...(options.kinds === undefined ? {} : { kinds: options.kinds }),
      });
      for (const kind of mutation.kinds) count(tally.byKind, kind);
      totals.mutants++;
      const mutant = { base: base.name, mutation };
      const start = performance.now();
      const summary = runMutant(options, tally, mutant, bytes.subarray(0, mutation.sizeBytes));
      const judgeEvery = options.judgeEvery ?? 10;
      let ms = performance.now() - start;
      if (ms > msMax) {
        // A busy machine may have taken the time: slow is what is slow again.
        const again = performance.now();
        runMutant(options, { outcomes: {}, byKind: {}, failures: [] }, mutant, bytes.subarray(0, mutation.sizeBytes));
        ms = Math.min(ms, performance.now() - again);
      }
      if (ms > totals.slowestMs) Object.assign(totals, { slowestMs: ms, slowestSeed: seed });
      if (ms > msMax) fail(tally, 'time', mutant, `took ${Math.round(ms)} ms`);
      watchMemory(options, tally, totals, mutant, index);
      if (judgeEvery > 0 && index % judgeEvery === 0) {
        compareJudges({ driver, scratch, base, mutation, mutant: bytes.subarray(0, mutation.sizeBytes), summary }, totals, disagreements);
      }
      if (index % orDefault(options.writeEvery, 4) === 0) writeToMutant(options, tally, mutant, bytes.subarray(0, mutation.sizeBytes));
    }
  } finally {
    removeScratch(scratch);
  }
  return { ...totals, ...tally, disagreements };
}

/** Looks at the memory now and then (asking is slow). */
function watchMemory(
  options: HostileOptions,
  tally: Tally,
  totals: { peakBytes: number },
  mutant: { base: string; mutation: Mutation },
  index: number,
): void {
  if (index % 8 !== 0) return;
  const { arrayBuffers } = process.memoryUsage();
  totals.peakBytes = Math.max(totals.peakBytes, arrayBuffers);
  if (arrayBuffers > (options.bytesMax ?? 512 * 2 ** 20)) fail(tally, 'memory', mutant, `${arrayBuffers} bytes of buffers in use`);
}

const orDefault = (value: number | undefined, fallback: number): number => (value === undefined || value <= 0 ? fallback : value);

/** Mounts read-only, walks, reads, checks. The answer is our check's; undefined when it failed by an FsError. */
function runMutant(
  options: HostileOptions,
  tally: Tally,
  mutant: { base: string; mutation: Mutation },
  bytes: Uint8Array,
): CheckSummary | undefined {
  const { driver } = options;
  const biosMax = options.biosMax ?? 200_000;
  const device = imageDevice(bytes, { readOnly: true, biosMax });
  const fs = stage(tally, 'mount', mutant, () =>
    runSync(driver.mount(device, { env: fixedEnv(), readOnly: true, cacheBytes: 4 * 2 ** 20, bufferBytes: 2 * 2 ** 20 })));
  if (fs !== undefined) {
    runSync(exerciseFs(fs, (name, error) => noteError(tally, name, mutant, error)));
    stage(tally, 'unmount', mutant, () => runSync(fs.unmount()));
  }
  if (device.counts.bios > biosMax) fail(tally, 'requests', mutant, `more than ${biosMax} bios`);
  const checked = imageDevice(bytes, { readOnly: true, biosMax });
  const summary = stage(tally, 'check', mutant, () => runSync(driver.check(checked)));
  if (checked.counts.bios > biosMax) fail(tally, 'requests', mutant, `check: more than ${biosMax} bios`);
  return summary;
}

/** Mounts for writing, changes things, unmounts. The image is the mutant's own and is not used again. */
function writeToMutant(
  options: HostileOptions,
  tally: Tally,
  mutant: { base: string; mutation: Mutation },
  bytes: Uint8Array,
): void {
  const { driver } = options;
  const device = imageDevice(bytes, { biosMax: options.biosMax ?? 200_000 });
  const fs = stage(tally, 'w-mount', mutant, () =>
    runSync(driver.mount(device, { env: fixedEnv(), cacheBytes: 4 * 2 ** 20, bufferBytes: 2 * 2 ** 20 })));
  if (fs === undefined || fs.readOnly) return;
  const start = performance.now();
  runSync(vandalizeFs(fs, (name, error) => noteError(tally, name, mutant, error)));
  stage(tally, 'w-unmount', mutant, () => runSync(fs.unmount()));
  const ms = performance.now() - start;
  if (ms > (options.msMax ?? 2000)) fail(tally, 'time', mutant, `writing took ${Math.round(ms)} ms`);
}

/** Asks the real tool and keeps where it differs from our check. */
function compareJudges(
  at: {
    readonly driver: DriverUnderTest;
    readonly scratch: string;
    readonly base: HostileBase;
    readonly mutation: Mutation;
    readonly mutant: Uint8Array;
    readonly summary: CheckSummary | undefined;
  },
  totals: { judged: number; toolFailed: number; damaged: number; found: number; agreed: number },
  disagreements: Disagreement[],
): void {
  const path = join(at.scratch, 'mutant');
  writeImage(path, at.mutant);
  const verdict = judgeImage(at.driver, path, 15_000);
  rmSync(path);
  if (!verdict.ended) {
    totals.toolFailed++;
    return;
  }
  const clean = at.summary?.clean === true;
  totals.judged++;
  if (!verdict.clean) totals.damaged++;
  if (!verdict.clean && !clean) totals.found++;
  if (verdict.clean === clean) {
    totals.agreed++;
    return;
  }
  if (disagreements.length >= 500) return;
  const { seed, changes } = at.mutation;
  const findings = at.summary?.findings.slice(0, 5) ?? [];
  disagreements.push({
    seed, base: at.base.name, kind: clean ? 'missed' : 'extra', changes, findings, tool: verdict.lines.slice(0, 12),
  });
}
