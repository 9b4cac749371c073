/**
 * Directories in both their homes (mount option `directories`): the same names entered, looked up and listed over the buffer cache and over
 * the page cache. Counts are the same in every run; times and the heap are one machine's.
 *
 * Entries are hard links, so that what is measured is directories and not the making of inodes. It goes below the vfs, whose dentry
 * cache would answer most look-ups.
 */
import { runSync } from '@iomap/io';
import type { FileSystem, Inode } from '@iomap/vfs';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { countedDevice, HOMES, type DeviceCounts, type Home, type StudyDriver } from './mounts.js';

const MIB = 2 ** 20;
const NOW = { sec: 1_700_000_000, nsec: 0 };
/** So much of the caches that all that is measured stays cached. */
const CACHE_BYTES = 192 * MIB;
/** Names that are looked up at most. */
const LOOKUPS_COLD = 1000;
const LOOKUPS_WARM = 100_000;
/** Fewer blocks than this say nothing about the heap: a listing makes other things, too. */
const HEAP_BLOCKS_MIN = 500;

export interface DirCase {
  readonly directories: number;
  /** Of each directory. */
  readonly entries: number;
}

/** Part of every study. */
export const DIR_CASES: readonly DirCase[] = [
  { directories: 1, entries: 100 },
  { directories: 1, entries: 10_000 },
  { directories: 1000, entries: 5 },
];
/** Too slow for each test run. */
export const DIR_CASES_LARGE: readonly DirCase[] = [{ directories: 1, entries: 1_000_000 }];

/** Device requests. The same in every run. */
export interface DirCounts {
  readonly blocks: number;
  /** Of all inserts and the sync after them: reads and writes. */
  readonly insert: number;
  /** Of up to 1,000 look-ups with nothing cached. */
  readonly lookup: number;
  /** Of one listing with nothing cached. */
  readonly list: number;
  readonly listBytes: number;
}

/** Calls or entries per second, the best of the repeats; the heap of the middle one. */
export interface DirTimes {
  readonly insert: number;
  readonly lookupCold: number;
  readonly lookup: number;
  readonly listCold: number;
  readonly list: number;
  /** Heap per cached block, beside the block's bytes; 0 = too few blocks to tell. */
  readonly heapBytes: number;
}

export type PerHome<T> = Readonly<Record<Home, T>>;

export interface DirRow extends DirCase {
  readonly counts: PerHome<DirCounts>;
  readonly times: PerHome<DirTimes> | undefined;
}

const nameOf = (n: number): string => `name-${String(n).padStart(7, '0')}`;

/** `count` of the numbers below `total`, each once, far from one another. */
function scattered(total: number, count: number): number[] {
  let stride = 2 * Math.floor(total * 0.190_983) + 1;
  while (gcd(stride, total) !== 1) stride -= 2;
  return Array.from({ length: Math.min(total, count) }, (_, i) => (i * stride) % total);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

const requestsOf = (counts: DeviceCounts): number => counts.reads + counts.writes;

class DirSubject {
  readonly case: DirCase;
  readonly home: Home;
  readonly driver: StudyDriver;
  readonly image: Uint8Array;

  constructor(driver: StudyDriver, home: Home, one: DirCase) {
    this.case = one;
    this.home = home;
    this.driver = driver;
    this.image = new Uint8Array(Math.ceil(Math.max(32 * MIB, one.entries * 128) / MIB) * MIB);
    driver.mkfs(countedDevice(this.image).device);
  }

  mount(): { readonly fs: FileSystem; readonly root: Inode; readonly dirs: readonly Inode[]; readonly counts: DeviceCounts } {
    const { device, counts } = countedDevice(this.image);
    const { fs } = this.driver.mount(device, { way: 'iomap', home: this.home, cacheBytes: CACHE_BYTES });
    const root = runSync(fs.readInode(fs.rootIno));
    const dirs = Array.from({ length: this.case.directories }, (_, n) => {
      const ino = runSync(fs.lookup(root, `dir-${n}`));
      return ino === 0
        ? runSync(fs.create(root, `dir-${n}`, { mode: 0o40755, uid: 0, gid: 0, rdev: 0, now: NOW }))
        : runSync(fs.readInode(ino));
    });
    return { fs, root, dirs, counts };
  }

  /** Enters all names, and syncs. */
  fill(): { readonly ms: number; readonly requests: number } {
    const { fs, root, dirs, counts } = this.mount();
    runSync(fs.sync());
    let target: Inode | undefined;
    let made = 0;
    let ms = 0;
    const requests = requestsOf(counts);
    for (const dir of dirs) {
      for (let n = 0; n < this.case.entries; n++) {
        if (target === undefined || target.nlink >= fs.traits.linkMax) {
          target = runSync(fs.create(root, `file-${made++}`, { mode: 0o100644, uid: 0, gid: 0, rdev: 0, now: NOW }));
        }
        const start = performance.now();
        runSync(fs.link(dir, nameOf(n), target, NOW));
        ms += performance.now() - start;
      }
    }
    runSync(fs.sync());
    const done = requestsOf(counts) - requests;
    runSync(fs.unmount());
    return { ms, requests: done };
  }

  /** Looks up `count` names, scattered over all directories; milliseconds. */
  lookUp({ fs, dirs }: { readonly fs: FileSystem; readonly dirs: readonly Inode[] }, count: number): number {
    const { entries } = this.case;
    const total = entries * dirs.length;
    const places = scattered(total, count).map((at) => ({ dir: dirs[Math.floor(at / entries)], name: nameOf(at % entries) }));
    const start = performance.now();
    for (const { dir, name } of places) {
      if (dir === undefined) continue;
      const ino = fs.peekLookup?.(dir, name) ?? runSync(fs.lookup(dir, name));
      if (ino === 0) throw new Error(`${name} is not there`);
    }
    return performance.now() - start;
  }

  /** Lists every directory; milliseconds. */
  list({ fs, dirs }: { readonly fs: FileSystem; readonly dirs: readonly Inode[] }): number {
    let seen = 0;
    const emit = (): boolean => {
      seen++;
      return true;
    };
    const start = performance.now();
    for (const dir of dirs) runSync(fs.readdir(dir, 0, emit));
    const ms = performance.now() - start;
    if (seen !== dirs.length * (this.case.entries + 2)) throw new Error(`${seen} entries listed`);
    return ms;
  }
}

const perSecond = (count: number, ms: number): number => count / (ms / 1000);

/** One listing with nothing cached: what it asks of the device, and how long it takes. */
function coldList(
  subject: DirSubject,
): { readonly at: ReturnType<DirSubject['mount']>; readonly requests: number; readonly bytes: number; readonly ms: number } {
  const at = subject.mount();
  const [requests, bytes] = [requestsOf(at.counts), at.counts.readBytes];
  const ms = subject.list(at);
  return { at, requests: requestsOf(at.counts) - requests, bytes: at.counts.readBytes - bytes, ms };
}

/** The heap that the cached blocks of a listed directory take, beside their bytes: the middle of three. */
function heapPerBlock(subject: DirSubject, blocks: number, collect: () => void): number {
  if (blocks < HEAP_BLOCKS_MIN) return 0;
  const taken: number[] = [];
  const kept: unknown[] = [];
  for (let n = 0; n < 3; n++) {
    const at = subject.mount();
    kept.push(at);
    const before = heapUsed(collect);
    subject.list(at);
    taken.push((heapUsed(collect) - before) / blocks);
  }
  // All of them are in use until here.
  return kept.length === 3 ? middle(taken) : 0;
}

const middle = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;

function heapUsed(collect: () => void): number {
  // What the first leaves to finalizers goes with the second.
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

function coldLookups(subject: DirSubject): { readonly requests: number; readonly ms: number } {
  const at = subject.mount();
  const before = requestsOf(at.counts);
  const ms = subject.lookUp(at, LOOKUPS_COLD);
  return { requests: requestsOf(at.counts) - before, ms };
}

function measureHome(
  driver: StudyDriver, home: Home, one: DirCase, collect: (() => void) | undefined,
): { readonly counts: DirCounts; readonly times: DirTimes } {
  const subject = new DirSubject(driver, home, one);
  const total = one.entries * one.directories;
  const filled = subject.fill();
  const lookups = coldLookups(subject);
  const listed = coldList(subject);
  const { at } = listed;
  const blocks = at.dirs.reduce((sum, { size }) => sum + Math.ceil(size / driver.blockSize), 0);
  const counts: DirCounts = { blocks, insert: filled.requests, lookup: lookups.requests, list: listed.requests, listBytes: listed.bytes };
  if (collect === undefined) return { counts, times: NO_TIMES };
  subject.lookUp(at, LOOKUPS_WARM); // a linear directory's index of names
  const times: DirTimes = {
    insert: perSecond(total, filled.ms),
    lookupCold: perSecond(Math.min(total, LOOKUPS_COLD), lookups.ms),
    lookup: perSecond(Math.min(total, LOOKUPS_WARM), subject.lookUp(at, LOOKUPS_WARM)),
    listCold: perSecond(total, listed.ms),
    list: perSecond(total, subject.list(at)),
    heapBytes: heapPerBlock(subject, blocks, collect),
  };
  return { counts, times };
}

const NO_TIMES: DirTimes = { insert: 0, lookupCold: 0, lookup: 0, listCold: 0, list: 0, heapBytes: 0 };

const best = (a: DirTimes | undefined, b: DirTimes): DirTimes =>
  a === undefined ? b : {
    insert: Math.max(a.insert, b.insert),
    lookupCold: Math.max(a.lookupCold, b.lookupCold),
    lookup: Math.max(a.lookup, b.lookup),
    listCold: Math.max(a.listCold, b.listCold),
    list: Math.max(a.list, b.list),
    heapBytes: b.heapBytes,
  };

/**
 * Measures the cases in both homes.
 * @param repeats timed runs, the homes in turn; 0 = counts alone
 * @param collect collects garbage
 */
export function studyDirectories(
  driver: StudyDriver, cases: readonly DirCase[], repeats: number, collect?: () => void,
): DirRow[] {
  return cases.map((one) => {
    const found: Partial<Record<Home, { counts: DirCounts; times: DirTimes | undefined }>> = {};
    // A million entries are enough calls for one run; and a first run warms the compiler up for the others.
    const runs = one.entries * one.directories > 100_000 ? 1 : Math.max(1, repeats + 1);
    const heaps: Record<Home, number[]> = { 'buffer-cache': [], 'page-cache': [] };
    for (let n = 0; n < runs; n++) {
      for (const home of HOMES) {
        const { counts, times } = measureHome(driver, home, one, collect);
        heaps[home].push(times.heapBytes);
        // Other things come and go on the heap, so not the least of the runs, but the middle one.
        const heapBytes = middle(heaps[home]);
        found[home] = { counts, times: repeats === 0 ? undefined : { ...best(found[home]?.times, times), heapBytes } };
      }
    }
    const { 'buffer-cache': buffers, 'page-cache': pages } = found;
    if (buffers === undefined || pages === undefined) throw new Error('a home was not measured');
    return {
      ...one,
      counts: { 'buffer-cache': buffers.counts, 'page-cache': pages.counts },
      times: buffers.times === undefined || pages.times === undefined ? undefined : { 'buffer-cache': buffers.times, 'page-cache': pages.times },
    };
  });
}

/** Lines of code of each home, and of what they share. */
export interface CodeLines extends PerHome<number> {
  readonly shared: number;
}

/** Lines that are neither blank nor comment. @param packages the folder of the packages' sources */
export function codeLines(packages: string): CodeLines {
  const count = (...files: readonly string[]): number =>
    files.reduce((sum, file) => {
      const source = readFileSync(join(packages, 'block-map', 'src', file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
      return sum + source.split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length;
    }, 0);
  return { 'buffer-cache': count('dir-buffers.ts'), 'page-cache': count('dir-pages.ts'), shared: count('dir-home.ts', 'dir-block.ts', 'linear-dir.ts') };
}
