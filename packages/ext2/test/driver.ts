/** ext2 as the conformance suites see it. */
import {
  findOracle,
  imageDevice,
  imageHost,
  makeSampleTree,
  Model,
  oracle,
  mountOptionsOf,
  PROFILES,
  removeScratch,
  runWorkload,
  scratchDir,
  structuresBy,
  summaryOf,
  type DriverUnderTest,
  type FormatOptions,
  type HostileBase,
} from '@iomap/conformance';
import { fixedEnv, runSync } from '@iomap/io';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../src/check.js';
import { mkfs, mount, type MkfsOptions, type MountOptions } from '../src/index.js';
import { ext2Structures } from './structures.js';

/** `^name` switches a feature off, as mke2fs has it. */
function mkfsFeatures(names: readonly string[]): MkfsOptions['features'] {
  return Object.fromEntries(names.map((name) => (name.startsWith('^') ? [name.slice(1), false] : [name, true])));
}

function mkfsOptions(options: FormatOptions): MkfsOptions {
  const { blockSize, inodeSize, inodes, features, label, uuid } = options;
  const revision0 = features?.includes('revision0') === true;
  return {
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(inodeSize === undefined ? {} : { inodeSize }),
    ...(inodes === undefined ? {} : { inodes }),
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid: new Uint8Array(uuid) }),
    ...(revision0 ? { revision: 0 } : {}),
    ...(features === undefined || revision0 ? {} : { features: mkfsFeatures(features) }),
  };
}

/** How a mount is done: file data one way or the other, directories in one home or the other. */
type Way = Required<Pick<MountOptions, 'io' | 'directories'>>;

const driverFor = (name: string, way: Way): DriverUnderTest => ({
  name,
  kernelType: 'ext2',
  fsck: 'e2fsck',
  mkfs: (device, options) => mkfs(device, mkfsOptions(options), options.env),
  mount: (device, options) => mount(device, { ...mountOptionsOf(options), ...way }),
  *check(device) {
    return summaryOf(yield* check(device), ({ ino, block, group }) => ({ ino, block, group }));
  },
  structures: structuresBy(ext2Structures),
});

export const ext2 = driverFor('ext2', { io: 'iomap', directories: 'buffer-cache' });
/** Directories in the page cache. */
export const ext2Pages = driverFor('ext2, directories=page-cache', { io: 'iomap', directories: 'page-cache' });
/** The old way, by buffer heads. */
export const ext2Legacy = driverFor('ext2, io=legacy', { io: 'legacy', directories: 'buffer-cache' });
/** The old way beside directories in the page cache, which never go that way. */
export const ext2LegacyPages = driverFor('ext2, io=legacy, directories=page-cache', { io: 'legacy', directories: 'page-cache' });

/** What mke2fs gives an ext2 where a distribution's configuration does not say otherwise. */
const FEATURES = ['filetype', 'sparse_super', 'large_file', 'ext_attr', 'dir_index', 'resize_inode'];

/** An image by mke2fs, empty or filled from a folder. `features` are added, or taken out as `^name`. */
export function mke2fs(
  path: string,
  size: string,
  args: readonly string[],
  from?: string,
  features: readonly string[] = [],
): void {
  const folder = from === undefined ? [] : ['-d', from];
  const fixed = ['-U', '12345678-1234-1234-1234-123456789abc', '-E', 'hash_seed=12345678-1234-1234-1234-123456789abc'];
  const wanted = ['none', ...FEATURES.filter((name) => !features.includes(`^${name}`)), ...features.filter((name) => !name.startsWith('^'))];
  oracle('mke2fs').run(['-q', '-F', '-t', 'ext2', '-O', wanted.join(','), ...fixed, ...args, ...folder, path, size], {
    expect: [0],
    env: { E2FSPROGS_FAKE_TIME: '1700000000' },
  });
}

/** A small image that our own driver made and filled. */
function ourBase(name: string, sizeBytes: number, format: Omit<FormatOptions, 'env'>, seed: number): HostileBase {
  const host = imageHost({ driver: ext2, sizeBytes, format });
  runSync(runWorkload({ host, model: new Model({ full: true }), profile: { ...PROFILES.small, sparseMax: 2 ** 26 }, seed, ops: 400, checkEvery: 400 }));
  const bytes = host.bytes.slice();
  return { name, bytes, blockSize: format.blockSize ?? 1024, structures: ext2Structures(bytes) };
}

/** A small image that mke2fs filled from a folder. */
function toolBase(name: string, size: string, args: readonly string[], features: readonly string[]): HostileBase {
  const dir = scratchDir('iomap-base');
  try {
    const source = join(dir, 'source');
    mkdirSync(source);
    makeSampleTree(source, { namesInOneDirectory: 30, depth: 5, files: 42, sizeMax: 20_000, xattrs: 2 });
    const image = join(dir, 'image');
    mke2fs(image, size, args, source, features);
    const bytes = new Uint8Array(readFileSync(image));
    return { name, bytes, blockSize: 1024, structures: ext2Structures(bytes) };
  } finally {
    removeScratch(dir);
  }
}

/** The sound images that hostile ones are made from. */
export function hostileBases(): HostileBase[] {
  const bases = [
    ourBase('1k-256', 640 * 1024, { blockSize: 1024, inodeSize: 256, inodes: 128 }, 1),
    ourBase('1k-128', 512 * 1024, { blockSize: 1024, inodeSize: 128, inodes: 128 }, 2),
    ourBase('4k-256', 1024 * 1024, { blockSize: 4096, inodeSize: 256, inodes: 128 }, 3),
  ];
  if (findOracle('mke2fs') !== undefined) {
    bases.push(toolBase('mke2fs-1k', '1300K', ['-b', '1024', '-N', '200'], ['^resize_inode']));
    bases.push(toolBase('mke2fs-groups', '1500K', ['-b', '1024', '-N', '320', '-g', '512'], ['^sparse_super', '^dir_index', '^resize_inode']));
  }
  return bases;
}

/** An empty image's bytes, made by our mkfs. */
export function emptyImage(sizeBytes: number, format: Omit<FormatOptions, 'env'> = {}): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  runSync(ext2.mkfs(imageDevice(bytes), { env: fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } }), ...format }));
  return bytes;
}

