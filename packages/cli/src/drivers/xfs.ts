/** XFS for the command: what `@iomap/xfs-lite` does, in the words of drivers.ts. */
import { FsError, type Io } from '@iomap/io';
import { bulkBuild, bulkSize, check, mkfs, mount, rawSuper, readLogState, readSuper, type MkfsOptions } from '@iomap/xfs-lite';
import type { CheckOutcome, Driver, FormatRequest } from '../drivers.js';
import { UsageError } from '../errors.js';
import { isRuns, type SourceInode } from '../source/source.js';
import { xfsFacts } from './xfs-facts.js';

const KNOWN = ['finobt', 'sparse', 'reflink', 'rmapbt', 'bigtime', 'inobtcount', 'nrext64'] as const;

/** @throws UsageError for a name that mkfs does not know */
function featureFlags(names: readonly string[]): MkfsOptions {
  const flags: Partial<Record<(typeof KNOWN)[number], boolean>> = {};
  for (const name of names) {
    const plain = name.replace(/^\^/, '');
    const known = KNOWN.find((one) => one === plain);
    if (known === undefined) throw new UsageError(`unknown feature: ${plain} (known: ${KNOWN.join(', ')})`);
    flags[known] = !name.startsWith('^');
  }
  return flags;
}

function mkfsRequest(request: Omit<FormatRequest, 'env'>): MkfsOptions {
  const { label, uuid, blockSize, inodeSize, inodes, features, sectorSize, directorySize, groups, logSize, stripe, freshFile } = request;
  if (inodes !== undefined) throw new UsageError('XFS makes inodes as they are needed: there is no number to give');
  if (request.reservedPercent !== undefined && request.reservedPercent !== 0) throw new UsageError('XFS can reserve no space for root');
  if (request.badBlocks !== undefined) throw new UsageError('XFS knows no bad blocks');
  return {
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid: Uint8Array.from(uuid) }),
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(inodeSize === undefined ? {} : { inodeSize }),
    ...(features === undefined ? {} : featureFlags(features)),
    ...(sectorSize === undefined ? {} : { sectorSize }),
    ...(directorySize === undefined ? {} : { dirBlockSize: directorySize }),
    ...(groups === undefined ? {} : { agCount: groups }),
    ...(logSize === undefined ? {} : { logSize }),
    ...(stripe === undefined ? {} : { stripeUnit: stripe.unit, stripeWidth: stripe.width }),
    ...(freshFile === true ? { assumeZeroed: true } : {}),
  };
}

export const xfsDriver: Driver = {
  type: 'xfs',
  *probe(device) {
    return (yield* rawSuper(device)) !== undefined;
  },
  mkfs: (device, request) => mkfs(device, mkfsRequest(request), request.env),
  mount: (device, request) =>
    mount(device, {
      readOnly: request.readOnly,
      ...(request.env === undefined ? {} : { env: request.env }),
      ...(request.cacheBytes === undefined ? {} : { pageCacheBytes: request.cacheBytes }),
    }),
  *check(device) {
    yield* readSuper(device);
    const report = yield* check(device);
    const outcome: CheckOutcome = { clean: report.clean, findings: report.findings.map((finding) => ({ ...finding })) };
    return outcome;
  },
  *facts(device) {
    const raw = yield* rawSuper(device);
    return raw === undefined ? [] : xfsFacts(raw, yield* logText(readLogState(device)));
  },
  plan(request) {
    const pieces = ({ data }: SourceInode): number | undefined => (isRuns(data) ? data.length : undefined);
    return { sizeBytes: bulkSize(request.root, mkfsRequest(request), { generous: request.generosity > 0, pieces }) };
  },
  bulkBuild: (device, request, tree) => bulkBuild(device, { ...tree, format: mkfsRequest(request), env: request.env }),
};

function* logText(io: Io<{ readonly isClean: boolean }>): Io<string> {
  try {
    return (yield* io).isClean ? 'clean' : 'dirty: replayed in memory when it is read';
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return `not readable (${error.code}: ${error.why ?? error.message})`;
  }
}
