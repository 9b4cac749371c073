/** ext2 for the command: what `@iomap/ext2` does, in the words of drivers.ts. */
import type { BlockDevice } from '@iomap/block-device';
import { bulkBuild, check, mkfs, mount, type MkfsOptions } from '@iomap/ext2';
import { submitBio, type Io } from '@iomap/io';
import { planExt2 } from '../build/ext2-size.js';
import type { CheckOutcome, Driver, FormatRequest } from '../drivers.js';
import { UsageError } from '../errors.js';
import { superFacts } from './ext2-facts.js';

const SUPER_POS = 1024;
const SUPER_BYTES = 1024;
const MAGIC_AT = 0x38;
const MAGIC = 0xef53;

/** The superblock's bytes; undefined when the device is too small for one. */
function* readSuper(device: BlockDevice): Io<DataView | undefined> {
  // Whole sectors of any size.
  const length = Math.max(4096, device.sectorSize);
  const readable = Math.min(length, device.sizeBytes);
  if (readable < SUPER_POS + SUPER_BYTES) return undefined;
  const bytes = new Uint8Array(readable);
  yield* submitBio(device, { op: 'read', pos: 0, segments: [bytes], lengthBytes: bytes.length });
  return new DataView(bytes.buffer, bytes.byteOffset + SUPER_POS, SUPER_BYTES);
}

const KNOWN = ['filetype', 'sparse_super', 'large_file', 'ext_attr', 'dir_index', 'resize_inode', 'meta_bg'] as const;

/** @throws UsageError for a name that mkfs does not know */
function featureFlags(names: readonly string[]): NonNullable<MkfsOptions['features']> {
  const flags: Partial<Record<(typeof KNOWN)[number], boolean>> = {};
  for (const name of names) {
    const plain = name.replace(/^\^/, '');
    const known = KNOWN.find((one) => one === plain);
    if (known === undefined) throw new UsageError(`unknown feature: ${plain} (known: ${KNOWN.join(', ')})`);
    flags[known] = !name.startsWith('^');
  }
  return flags;
}

function mkfsRequest(request: FormatRequest): MkfsOptions {
  const { label, uuid, blockSize, inodeSize, inodes, features, reservedPercent, freshFile } = request;
  return {
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid: Uint8Array.from(uuid) }),
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(inodeSize === undefined ? {} : { inodeSize }),
    ...(inodes === undefined ? {} : { inodes: Math.max(12, inodes) }),
    ...(features === undefined ? {} : { features: featureFlags(features) }),
    ...(reservedPercent === undefined ? {} : { reservedPercent }),
    ...(freshFile === true ? { assumeZeroed: true } : {}),
  };
}

export const ext2Driver: Driver = {
  type: 'ext2',
  *probe(device) {
    const view = yield* readSuper(device);
    return view?.getUint16(MAGIC_AT, true) === MAGIC;
  },
  mkfs: (device, request) => mkfs(device, mkfsRequest(request), request.env),
  mount: (device, request) =>
    mount(device, {
      readOnly: request.readOnly,
      // The command acts as root.
      useReserved: true,
      ...(request.env === undefined ? {} : { env: request.env }),
      ...(request.cacheBytes === undefined ? {} : { pageCacheBytes: request.cacheBytes }),
    }),
  *check(device) {
    const report = yield* check(device, {});
    const outcome: CheckOutcome = { clean: report.clean, findings: report.findings.map((finding) => ({ ...finding })) };
    return outcome;
  },
  *facts(device) {
    const view = yield* readSuper(device);
    return view === undefined ? [] : superFacts(view);
  },
  plan: planExt2,
  // What fits needs no room to grow.
  fittedFeatures: ['^resize_inode'],
  bulkBuild: (device, request, tree) => bulkBuild(device, { ...tree, format: mkfsRequest(request), env: request.env }),
};
