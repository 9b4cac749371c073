/** The random workload's slices of a soak run: versions, formats and profiles in turn. */
import { imageHost, PROFILES, runWorkload, WorkloadFailure, type DriverUnderTest, type Profile } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { BLOCK_FORMATS, minix, minixFor, minixPages, nameMaxOf, ODD_FORMATS, PLAIN_FORMATS, profileFor, type NamedFormat } from './driver.js';

export interface MinixSlice {
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

const MIB = 2 ** 20;
/** Half of the slices are of formats that fsck.minix judges. */
const FORMATS: readonly NamedFormat[] = [...PLAIN_FORMATS, ...BLOCK_FORMATS, ...PLAIN_FORMATS, ...ODD_FORMATS];
/** fsck.minix counts links in a byte and looks 50 directories deep: fewer subdirectories than 250, and no deeper. */
const NAMES: Profile = { ...PROFILES.names, filesTarget: 1200 };
const RANDOM = [PROFILES.mixed, NAMES, PROFILES.data, { ...PROFILES.full, filesTarget: 3000 }];

export const soakFormat = (index: number): NamedFormat => {
  const format = FORMATS[index % FORMATS.length];
  if (format === undefined) throw new RangeError('no formats');
  return format;
};

/** Runs one slice; a failure is in the result, with its seed and its shrunk operations. */
export function minixSlice(slice: MinixSlice): SliceResult {
  const { index } = slice;
  const format = soakFormat(index);
  const profile = RANDOM[(index + Math.floor(index / FORMATS.length)) % RANDOM.length] ?? PROFILES.mixed;
  const nameMax = nameMaxOf(format.options, format.version);
  let done = 0;
  const host = imageHost({
    driver: minixFor(format.options, slice.driver ?? (Math.floor(index / FORMATS.length) % 2 === 0 ? minix : minixPages)),
    sizeBytes: profile.full ? 3 * MIB + (index % 5) * 100 * 1024 : 32 * MIB,
    format: format.options,
    // Small caches, so that writeback and eviction happen under the workload.
    cacheBytes: index % 2 === 0 ? 2 * MIB : 16 * MIB,
    bufferBytes: index % 2 === 0 ? 512 * 1024 : 4 * MIB,
  });
  try {
    const report = runSync(
      runWorkload({
        host,
        profile: { ...profileFor(profile, format.version), nameMax },
        seed: slice.seed,
        ops: slice.ops,
        checkEvery: slice.checkEvery ?? 10_000,
        replay: `npm run soak -- 5 --only minix --seed ${slice.seed} --first ${index} --workers 1`,
        progress: (count) => {
          done = count;
          slice.note?.(count);
        },
        ...(slice.stop === undefined ? {} : { stop: slice.stop }),
      }),
    );
    const tally: Record<string, number> = { [`format ${format.name}`]: report.ops };
    for (const [key, count] of report.tally) tally[key] = count;
    return { done: report.ops, tally, failures: [] };
  } catch (error) {
    if (!(error instanceof WorkloadFailure)) throw error;
    return { done, tally: {}, failures: [{ message: `${format.name}, ${profile.name}: ${error.message}`, seed: slice.seed }] };
  }
}
