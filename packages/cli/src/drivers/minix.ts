/** minix for the command: what `@iomap/minixfs` does, in the words of drivers.ts. */
import { applyUndo } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { isCode, submitBio, type Io } from '@iomap/io';
import { check, mkfs, mount, readSuper, repair, variantOf, type MkfsOptions } from '@iomap/minixfs';
import { planMinix } from '../build/minix-size.js';
import type { Driver, FormatRequest, ImageFact } from '../drivers.js';
import { UsageError } from '../errors.js';
import { sizeText } from '../format.js';

const SUPER_POS = 1024;

type Format = Pick<MkfsOptions, 'version' | 'nameMax' | 'byteOrder'>;

/** The format that features say, in the words of mkfs.minix. */
const FEATURES: Readonly<Record<string, Format>> = {
  v1: { version: 1 },
  v2: { version: 2 },
  v3: { version: 3 },
  names14: { nameMax: 14 },
  names30: { nameMax: 30 },
  names60: { nameMax: 60 },
  'big-endian': { byteOrder: 'be' },
};

/** @throws UsageError for a name that mkfs does not know */
function formatOf(features: readonly string[] | undefined): Format {
  let format: Format = {};
  for (const name of features ?? []) {
    const found = FEATURES[name];
    if (found === undefined) throw new UsageError(`unknown feature: ${name} (known: ${Object.keys(FEATURES).join(', ')})`);
    format = { ...format, ...found };
  }
  return format;
}

function blockSizeOf(blockSize: number | undefined): 1024 | 2048 | 4096 | undefined {
  if (blockSize === undefined || blockSize === 1024 || blockSize === 2048 || blockSize === 4096) return blockSize;
  throw new UsageError(`minix has blocks of 1K, 2K and 4K, not of ${blockSize} bytes`);
}

function mkfsRequest(request: FormatRequest): MkfsOptions {
  if (request.label !== undefined && request.label !== '') throw new UsageError('minix has no labels');
  const blockSize = blockSizeOf(request.blockSize);
  return {
    ...formatOf(request.features),
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(request.inodes === undefined ? {} : { inodes: request.inodes }),
    ...(request.badBlocks === undefined ? {} : { badZones: [...request.badBlocks] }),
    ...(request.freshFile === true ? { assumeZeroed: true } : {}),
  };
}

function* probe(device: BlockDevice): Io<boolean> {
  const length = Math.min(4096, device.sizeBytes - (device.sizeBytes % device.sectorSize));
  if (length < SUPER_POS + 64) return false;
  const bytes = new Uint8Array(length);
  yield* submitBio(device, { op: 'read', pos: 0, segments: [bytes], lengthBytes: length });
  return variantOf(bytes.subarray(SUPER_POS)) !== undefined;
}

function* facts(device: BlockDevice): Io<readonly ImageFact[]> {
  try {
    const info = yield* readSuper(device);
    const state = info.version === 3 ? 'not recorded' : info.state % 2 === 1 ? 'clean' : 'not clean';
    return [
      { key: 'version', label: 'version', value: info.version },
      { key: 'nameMax', label: 'longest name', value: info.nameMax },
      { key: 'byteOrder', label: 'byte order', value: info.littleEndian ? 'little-endian' : 'big-endian' },
      { key: 'state', label: 'state', value: state },
      { key: 'sizeBytes', label: 'size in bytes', value: info.zonesCount * info.zoneSize },
      { key: 'size', label: 'size', value: sizeText(info.zonesCount * info.zoneSize) },
      { key: 'blockSize', label: 'block size', value: info.blockSize },
      { key: 'zoneSize', label: 'zone size', value: info.zoneSize },
      { key: 'zones', label: 'zones', value: info.zonesCount },
      { key: 'firstDataZone', label: 'first data zone', value: info.firstDataZone },
      { key: 'inodes', label: 'inodes', value: info.inodesCount },
      { key: 'fileSizeMax', label: 'largest file', value: sizeText(info.fileSizeMax) },
    ];
  } catch (error) {
    // A damaged one can be looked at too, as far as that goes.
    if (!isCode(error, 'EUCLEAN', 'EOPNOTSUPP')) throw error;
    return [{ key: 'state', label: 'state', value: `damaged: ${error.why ?? error.message}` }];
  }
}

export const minixDriver: Driver = {
  type: 'minix',
  probe,
  mkfs: (device, request) => mkfs(device, mkfsRequest(request), request.env),
  mount: (device, request) =>
    mount(device, {
      readOnly: request.readOnly,
      ...(request.env === undefined ? {} : { env: request.env }),
      ...(request.cacheBytes === undefined ? {} : { pageCacheBytes: request.cacheBytes }),
    }),
  *check(device) {
    const report = yield* check(device);
    return { clean: report.clean, findings: report.findings.map((finding) => ({ ...finding })) };
  },
  *repair(device, options) {
    const { fixes, clean, after } = yield* repair(device, options);
    return { clean, fixes: fixes.map((fix) => ({ ...fix })), findings: after.findings.map((finding) => ({ ...finding })) };
  },
  undo: applyUndo,
  facts,
  plan(request) {
    const { version = 3, nameMax } = formatOf(request.features);
    const entryBytes = version === 3 ? 64 : (nameMax ?? 30) + 2;
    return planMinix(request, {
      blockSize: blockSizeOf(request.blockSize) ?? 1024,
      entryBytes,
      pointerBytes: version === 1 ? 2 : 4,
      inodeSize: version === 1 ? 32 : 64,
    });
  },
};
