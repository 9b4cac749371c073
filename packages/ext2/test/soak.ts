/** The random workload's slices of a soak run: formats and profiles in turn. */
import { imageHost, PROFILES, runWorkload, WorkloadFailure, type DriverUnderTest, type FormatOptions, type Profile } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { ext2, ext2Pages } from './driver.js';

export interface RandomSlice {
  readonly kind: 'random' | 'enospc';
  readonly seed: number;
  readonly ops: number;
  /** The slice's number: picks the format and the profile. */
  readonly index: number;
  /** Default: one home of directories or the other, by the number. */
  readonly driver?: DriverUnderTest;
  readonly checkEvery?: number;
  readonly note?: (done: number) => void;
  readonly stop?: () => boolean;
}

export interface SliceResult {
  readonly done: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly message: string; readonly seed: number }[];
}

interface Case {
  readonly format: Omit<FormatOptions, 'env'>;
  readonly sizeBytes: number;
  readonly profile: Profile;
}

const MIB = 2 ** 20;

/** Formats that differ in what they exercise; the random profiles meet each of them in turn. */
const FORMATS: readonly { readonly format: Omit<FormatOptions, 'env'>; readonly sizeBytes: number }[] = [
  { format: { blockSize: 1024, inodeSize: 256, inodes: 8192 }, sizeBytes: 64 * MIB },
  { format: { blockSize: 4096, inodeSize: 256, inodes: 8192 }, sizeBytes: 64 * MIB },
  { format: { blockSize: 2048, inodeSize: 128, inodes: 8192, features: ['^dir_index'] }, sizeBytes: 64 * MIB },
  { format: { blockSize: 1024, inodeSize: 128, inodes: 8192, features: ['^sparse_super'] }, sizeBytes: 64 * MIB },
];
const RANDOM = [PROFILES.mixed, PROFILES.names, PROFILES.mixed, PROFILES.data];

function caseOf(slice: RandomSlice): Case {
  const { index } = slice;
  const form = FORMATS[index % FORMATS.length] ?? FORMATS[0];
  if (form === undefined) throw new RangeError('no formats');
  if (slice.kind === 'random') {
    return { ...form, profile: RANDOM[Math.floor(index / FORMATS.length + index) % RANDOM.length] ?? PROFILES.mixed };
  }
  // Full of data in some slices, full of inodes in others.
  const inodes = index % 3 === 2 ? 256 : 2048;
  return { format: { ...form.format, inodes }, sizeBytes: 3 * MIB + (index % 5) * 100 * 1024, profile: PROFILES.full };
}

/** Runs one slice; a failure is in the result, with its seed and its shrunk operations. */
export function randomSlice(slice: RandomSlice): SliceResult {
  const one = caseOf(slice);
  let done = 0;
  const host = imageHost({
    driver: slice.driver ?? (Math.floor(slice.index / FORMATS.length) % 2 === 0 ? ext2 : ext2Pages),
    sizeBytes: one.sizeBytes,
    format: one.format,
    // Small caches, so that writeback and eviction happen under the workload.
    cacheBytes: slice.index % 2 === 0 ? 2 * MIB : 16 * MIB,
    bufferBytes: slice.index % 2 === 0 ? 512 * 1024 : 4 * MIB,
  });
  try {
    const report = runSync(
      runWorkload({
        host,
        profile: one.profile,
        seed: slice.seed,
        ops: slice.ops,
        checkEvery: slice.checkEvery ?? 10_000,
        replay: `npm run soak -- 5 --only ${slice.kind} --seed ${slice.seed} --first ${slice.index} --workers 1`,
        progress: (count) => {
          done = count;
          slice.note?.(count);
        },
        ...(slice.stop === undefined ? {} : { stop: slice.stop }),
      }),
    );
    return { done: report.ops, tally: Object.fromEntries(report.tally), failures: [] };
  } catch (error) {
    if (!(error instanceof WorkloadFailure)) throw error;
    return { done, tally: {}, failures: [{ message: error.message, seed: slice.seed }] };
  }
}
