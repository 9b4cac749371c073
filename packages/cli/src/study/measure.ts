/** One workload, one way: what it counted, and how long it took. */
import { BUFFER_HEAD_BYTES, buffersOf } from '@iomap/buffer-head';
import { runSync } from '@iomap/io';
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { boundaryRead, type BoundaryCounts } from './boundary.js';
import { DIR_CASES, studyDirectories, type DirCase, type DirRow } from './directories.js';
import { countedDevice, WAYS, type StudyDriver, type Way } from './mounts.js';
import { AMPLIFICATION, makeImages, Subject, WORKLOADS, type ImageName, type Workload } from './workloads.js';

/** Counts of one run; the same every time. Bytes where not said. */
export interface Counts {
  /** Bytes that the workload's calls moved. */
  readonly bytes: number;
  /** `get_block`, or `begin`, `peek` and `map_blocks`. */
  readonly mapCalls: number;
  /** Pages or folios that came into the cache. */
  readonly folios: number;
  readonly bios: number;
  readonly bioBytes: number;
  readonly writeBioBytes: number;
  /** What the device saw, metadata and merging included. */
  readonly deviceRequests: number;
  readonly deviceBytes: number;
  readonly cachedBytes: number;
  /** What says which blocks of the cached data are uptodate and dirty. */
  readonly stateBytes: number;
  readonly dirtyFolioBytes: number;
}

export interface Pair<T> {
  readonly legacy: T;
  readonly iomap: T;
}

export interface Row {
  readonly key: string;
  readonly group: string;
  readonly callBytes: number;
  readonly counts: Pair<Counts>;
  /** Milliseconds, the best of the repeats; undefined = counts alone. */
  readonly ms: Pair<number> | undefined;
}

export interface Study {
  readonly type: string;
  readonly format: string;
  readonly blockSize: number;
  readonly rows: readonly Row[];
  readonly amplification: Pair<Counts>;
  readonly boundary: Pair<BoundaryCounts>;
  readonly directories: readonly DirRow[];
  /** Groups that the driver cannot do. */
  readonly missing: readonly string[];
}

/** Timed runs of a workload at most, and what share of the time counts as better. */
const RUNS_MAX = 24;
const BETTER = 0.03;

interface Measured {
  readonly counts: Counts;
  readonly ms: number;
}

/** Collects garbage, so that no run pays for the one before. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  return () => {
    if (typeof gc === 'function') Reflect.apply(gc, undefined, []);
  };
}

function state(subject: Subject, way: Way, blockSize: number): { cachedBytes: number; stateBytes: number } {
  let cachedBytes = 0;
  let stateBytes = 0;
  for (const inode of subject.used) {
    const mapping = subject.mount.mappingOf(inode);
    for (let folio = mapping?.nextFolio(0, Infinity); folio !== undefined; folio = mapping?.nextFolio(folio.end, Infinity)) {
      cachedBytes += folio.size;
      if (way === 'iomap') stateBytes += (folio.size / blockSize) * 2 / 8;
      else if (buffersOf(folio) !== undefined) stateBytes += (folio.size / blockSize) * BUFFER_HEAD_BYTES;
    }
  }
  return { cachedBytes, stateBytes };
}

/** Runs a workload on a copy of its image; undefined = the mount cannot. */
function measure(
  driver: StudyDriver, workload: Workload, way: Way, image: Uint8Array, collect?: () => void,
): Measured | undefined {
  const { device, counts: onDevice } = countedDevice(image.slice());
  const { folioMaxBytes } = workload;
  const subject = new Subject(driver.mount(device, { way, ...(folioMaxBytes === undefined ? {} : { folioMaxBytes }) }));
  if (workload.needs === 'direct' && subject.fs.writeHow === undefined) return undefined;
  if (workload.needs === 'map' && subject.fs.map === undefined) return undefined;
  const before = Object.assign({}, subject.mount.counters);
  const requests = onDevice.reads + onDevice.writes;
  const bytes = onDevice.readBytes + onDevice.writeBytes;
  collect?.();
  const start = performance.now();
  workload.run(subject);
  const ms = performance.now() - start;
  const after = subject.mount.counters;
  const of = (name: keyof typeof after): number => after[name] - before[name];
  const counts: Counts = {
    bytes: subject.bytes,
    mapCalls: of('begins') + of('beginPeeks') + of('mapBlocks'),
    folios: of('folioAllocs'),
    bios: of('readBios') + of('writeBios'),
    bioBytes: of('readBioBytes') + of('writeBioBytes'),
    writeBioBytes: of('writeBioBytes'),
    deviceRequests: onDevice.reads + onDevice.writes - requests,
    deviceBytes: onDevice.readBytes + onDevice.writeBytes - bytes,
    dirtyFolioBytes: subject.dirtyFolioBytes,
    ...state(subject, way, driver.blockSize),
  };
  runSync(subject.fs.sync());
  return { counts, ms };
}

function both(driver: StudyDriver, workload: Workload, image: Uint8Array, collect?: () => void): Pair<Measured> | undefined {
  const [legacy, iomap] = WAYS.map((way) => measure(driver, workload, way, image, collect));
  return legacy === undefined || iomap === undefined ? undefined : { legacy, iomap };
}

/**
 * Runs all workloads both ways.
 * @param repeats timed runs, the two ways in turn, goes on until so many bring nothing better; the best counts. 0 = counts alone
 * @param note is told after each workload
 * @param dirCases directories to measure in both homes
 */
export function runStudy(driver: StudyDriver, repeats: number, note?: () => void, dirCases: readonly DirCase[] = DIR_CASES): Study {
  const images: Readonly<Record<ImageName, Uint8Array>> = makeImages(driver);
  const collect = repeats === 0 ? undefined : collector();
  const rows: Row[] = [];
  const missing = new Set<string>();
  for (const workload of WORKLOADS) {
    note?.();
    const image = images[workload.image];
    const first = both(driver, workload, image);
    if (first === undefined) {
      missing.add(workload.group);
      continue;
    }
    const { key, group, callBytes } = workload;
    const ms = { legacy: Infinity, iomap: Infinity };
    // Until neither way gets better any more: the compiler takes its time, and more of it on a busy machine.
    for (let n = 0, better = 0; repeats > 0 && n < RUNS_MAX && n - better < repeats; n++) {
      const again = both(driver, workload, image, collect);
      for (const way of WAYS) {
        const time = again?.[way].ms ?? Infinity;
        if (time < ms[way] * (1 - BETTER)) better = n;
        ms[way] = Math.min(ms[way], time);
      }
    }
    const counts = { legacy: first.legacy.counts, iomap: first.iomap.counts };
    rows.push({ key, group, callBytes, counts, ms: repeats === 0 ? undefined : ms });
  }
  const amplified = both(driver, AMPLIFICATION, images.file);
  if (amplified === undefined) throw new Error('the amplification workload ran on no mount');
  return {
    type: driver.type,
    format: driver.format,
    blockSize: driver.blockSize,
    rows,
    amplification: { legacy: amplified.legacy.counts, iomap: amplified.iomap.counts },
    boundary: { legacy: boundaryRead(driver, 'legacy'), iomap: boundaryRead(driver, 'iomap') },
    directories: studyDirectories(driver, dirCases, repeats, collect),
    missing: [...missing],
  };
}
