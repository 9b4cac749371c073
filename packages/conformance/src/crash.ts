/**
 * Crashes of a filesystem without a journal: a workload runs on a simulated disk, and at chosen requests the disks that a power cut could
 * leave are taken. Each must be one that its repair mends, without losing a file that was fsynced and not touched since.
 *
 * Such a filesystem promises no more: a name may be lost, then the file is in lost+found, so files are looked for by content.
 */
import type { BlockDevice } from '@iomap/block-device';
import { fixedEnv, FsError, IO_OK, runSync, type Env, type Io } from '@iomap/io';
import { SimDevice } from '@iomap/io/sim';
import { createVfs, O_CREAT, O_RDWR, type Vfs } from '@iomap/vfs';
import { createHash } from 'node:crypto';
import type { DriverUnderTest } from './driver.js';
import { describeFsTree } from './fs-tree.js';
import { imageDevice } from './image-device.js';
import { poolBytes } from './op.js';
import { random, type Random } from './random.js';

export interface CrashSlice {
  readonly seed: number;
  /** Crashed disks to look at. */
  readonly count: number;
  readonly note?: (done: number) => void;
  readonly stop?: () => boolean;
  /** The canary: a disk that ignores flushes must lose files, or this harness sees nothing. */
  readonly ignoreFlushes?: boolean;
}

/** The filesystem that crashes, which may be another for each seed. */
export interface CrashSubject {
  readonly driver: DriverUnderTest;
  /** An empty image of a few MiB. */
  readonly image: Uint8Array;
  /** Mends a crashed disk in place; what is wrong with it afterwards, if anything. `log`: what the repair said. */
  repair(disk: Uint8Array): { readonly problem: string | undefined; readonly log: string };
}

export interface CrashResult {
  readonly done: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly message: string; readonly seed: number }[];
}

/** A file as it was at its fsync: its number, and what it held. */
interface Promised {
  readonly path: string;
  readonly size: number;
  readonly digest: string;
}

interface CrashPoint {
  readonly disks: readonly Uint8Array[];
  readonly promises: readonly Promised[];
  readonly request: number;
}

const digestOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');

/** One round: a workload on one disk, with crash points taken on the way. */
class Round {
  readonly points: CrashPoint[] = [];
  readonly #random: Random;
  readonly #promises = new Map<string, Promised>();
  readonly #content = new Map<string, Uint8Array>();
  readonly #sim: SimDevice;
  readonly #env: Env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 }, tickNs: 1_000_000 });
  readonly #every: number;
  #requests = 0;

  readonly #ignoreFlushes: boolean;
  readonly #driver: DriverUnderTest;

  constructor(subject: CrashSubject, seed: number, every: number, ignoreFlushes: boolean) {
    this.#random = random(seed);
    this.#every = every;
    this.#ignoreFlushes = ignoreFlushes;
    this.#driver = subject.driver;
    this.#sim = new SimDevice({ content: subject.image });
  }

  run(ops: number): void {
    runSync(this.#workload(ops));
  }

  /** The disk, with a look at it before each request. */
  #device(): BlockDevice {
    const sim = this.#sim;
    return {
      name: 'sim',
      sizeBytes: sim.sizeBytes,
      sectorSize: sim.sectorSize,
      readOnly: false,
      synchronous: true,
      limits: sim.limits,
      submit: (bio) => {
        if (bio.op !== 'read' && ++this.#requests % this.#every === 0) this.#crash();
        return this.#ignoreFlushes && bio.op === 'flush' ? IO_OK : sim.submit(bio);
      },
      close: () => sim.close(),
    };
  }

  #crash(): void {
    const disks: Uint8Array[] = [];
    // Nothing landed, everything landed, and a few mixes.
    for (const disk of this.#sim.crashImages({ max: 4, seed: this.#random.u32() })) disks.push(disk.toBytes());
    this.points.push({ disks, promises: [...this.#promises.values()], request: this.#requests });
  }

  *#workload(ops: number): Io<void> {
    const vfs = createVfs(yield* this.#driver.mount(this.#device(), { env: this.#env, cacheBytes: 2 ** 20, bufferBytes: 2 ** 19 }), { env: this.#env });
    yield* vfs.mkdir('/d', 0o755);
    yield* vfs.mkdir('/d/e', 0o755);
    for (let n = 0; n < ops; n++) yield* this.#op(vfs);
    yield* vfs.unmount();
  }

  *#op(vfs: Vfs): Io<void> {
    const r = this.#random;
    const path = `${r.pick(['', '/d', '/d/e'])}/f${r.below(12)}`;
    try {
      switch (r.below(8)) {
        case 0:
        case 1:
        case 2:
          yield* this.#write(vfs, path);
          break;
        case 3:
        case 4:
          yield* this.#fsync(vfs, path);
          break;
        case 5:
          yield* this.#remove(vfs, path);
          break;
        case 6:
          yield* this.#rename(vfs, path, `${r.pick(['', '/d', '/d/e'])}/f${r.below(12)}`);
          break;
        default:
          if (r.chance(0.3)) yield* vfs.sync();
          else yield* this.#truncate(vfs, path);
      }
    } catch (error) {
      if (!(error instanceof FsError) || !['ENOENT', 'ENOSPC'].includes(error.code)) throw error;
    }
  }

  *#write(vfs: Vfs, path: string): Io<void> {
    const r = this.#random;
    this.#promises.delete(path);
    const old = this.#content.get(path) ?? new Uint8Array(0);
    const pos = r.chance(0.5) ? old.length : r.below(old.length + 20_000);
    const bytes = poolBytes(r.below(900_000), r.between(1, 20_000));
    const fd = yield* vfs.open(path, O_RDWR | O_CREAT, 0o644);
    const wrote = yield* vfs.write(fd, bytes, pos);
    yield* vfs.close(fd);
    const grown = new Uint8Array(Math.max(old.length, pos + wrote));
    grown.set(old);
    grown.set(bytes.subarray(0, wrote), pos);
    this.#content.set(path, grown);
  }

  *#fsync(vfs: Vfs, path: string): Io<void> {
    const fd = yield* vfs.open(path, O_RDWR);
    yield* vfs.fsync(fd);
    yield* vfs.close(fd);
    const bytes = this.#content.get(path);
    if (bytes !== undefined) this.#promises.set(path, { path, size: bytes.length, digest: digestOf(bytes) });
  }

  *#remove(vfs: Vfs, path: string): Io<void> {
    this.#promises.delete(path);
    yield* vfs.unlink(path);
    this.#content.delete(path);
  }

  *#rename(vfs: Vfs, path: string, to: string): Io<void> {
    if (path === to) return;
    // Between the two names the file is promised under neither; its content is looked for, not its name.
    this.#promises.delete(to);
    yield* vfs.rename(path, to);
    const bytes = this.#content.get(path);
    const promised = this.#promises.get(path);
    this.#content.delete(path);
    this.#promises.delete(path);
    if (bytes !== undefined) this.#content.set(to, bytes);
    if (promised !== undefined) this.#promises.set(to, { ...promised, path: to });
  }

  *#truncate(vfs: Vfs, path: string): Io<void> {
    this.#promises.delete(path);
    const old = this.#content.get(path);
    const size = this.#random.below((old?.length ?? 0) + 100);
    yield* vfs.truncate(path, size);
    const cut = new Uint8Array(size);
    if (old !== undefined) cut.set(old.subarray(0, size));
    this.#content.set(path, cut);
  }
}

/** The contents of all files of an image, by digest. */
function contents(driver: DriverUnderTest, bytes: Uint8Array): Set<string> {
  const fs = runSync(driver.mount(imageDevice(bytes, { readOnly: true }), { env: fixedEnv(), readOnly: true }));
  const found = new Set<string>();
  runSync(
    (function* (): Io<void> {
      const vfs = createVfs(fs);
      for (const [path, node] of yield* describeFsTree(fs, { content: false, xattrs: false })) {
        if (node.type !== 'file' || node.size > 2 ** 24) continue;
        const fd = yield* vfs.open(`/${path}`, 0);
        const data = new Uint8Array(node.size);
        for (let done = 0; done < data.length; ) {
          const got = yield* vfs.read(fd, data.subarray(done), done);
          if (got === 0) break;
          done += got;
        }
        yield* vfs.close(fd);
        found.add(`${node.size} ${digestOf(data)}`);
      }
      yield* vfs.unmount();
    })(),
  );
  return found;
}

/** Repairs a crashed disk and looks for what was promised; undefined when all is well. */
function judgeCrash(subject: CrashSubject, disk: Uint8Array, promises: readonly Promised[]): string | undefined {
  const { problem, log } = subject.repair(disk);
  if (problem !== undefined) return problem;
  const found = contents(subject.driver, disk);
  const lost = promises.filter((one) => !found.has(`${one.size} ${one.digest}`));
  if (lost.length === 0) return undefined;
  return `lost after fsync: ${lost.map((one) => `${one.path} (${one.size} bytes)`).join(', ')}\n${log}`;
}

/** Looks at `count` crashed disks. @param subjectOf the filesystem of a seed */
export function runCrashes(subjectOf: (seed: number) => CrashSubject, slice: CrashSlice): CrashResult {
  const failures: { message: string; seed: number }[] = [];
  const tally: Record<string, number> = {};
  let done = 0;
  for (let n = 0; done < slice.count && slice.stop?.() !== true; n++) {
    const seed = slice.seed + n;
    const subject = subjectOf(seed);
    const round = new Round(subject, seed, 1 + (seed % 13), slice.ignoreFlushes ?? false);
    round.run(60);
    for (const point of round.points) {
      for (const [number, disk] of point.disks.entries()) {
        if (done >= slice.count || slice.stop?.() === true) break;
        done++;
        slice.note?.(seed);
        const problem = judgeCrash(subject, disk, point.promises);
        const key = problem === undefined ? `intact, ${point.promises.length > 0 ? 'with' : 'without'} promises` : 'FAILED';
        tally[key] = (tally[key] ?? 0) + 1;
        if (problem !== undefined && failures.length < 10) {
          failures.push({ seed, message: `crash seed ${seed} of ${subject.driver.name}, request ${point.request}, disk ${number}: ${problem}` });
        }
      }
    }
  }
  return { done, tally, failures };
}
