/** minix as the conformance suites see it. Formats are said by features: `v1`, `v2`, `v3`, `n14`, `n30`, `be`, `be16`, `zone4096` … */
import {
  imageHost,
  Model,
  mountOptionsOf,
  oracle,
  PROFILES,
  runWorkload,
  structuresBy,
  summaryOf,
  type DriverUnderTest,
  type FormatOptions,
  type HostileBase,
  type Profile,
} from '@iomap/conformance';
import { FsError, runSync } from '@iomap/io';
import { check, mkfs, mount, type MkfsOptions, type MountOptions } from '../src/index.js';
import { minixStructures } from './structures.js';

function mkfsOptions(options: FormatOptions): MkfsOptions {
  const found: { -readonly [K in keyof MkfsOptions]: MkfsOptions[K] } = {};
  for (const feature of options.features ?? []) {
    const [, word, number] = /^([a-z]+)(\d*)$/.exec(feature) ?? [];
    if (word === 'v') found.version = Number(number) as 1 | 2 | 3;
    else if (word === 'n') found.nameMax = Number(number) as 14 | 30 | 60;
    else if (word === 'zone') found.zoneSize = Number(number);
    else if (word === 'be') Object.assign(found, { byteOrder: 'be', bitOrder: number === '' ? 'bytes' : `be${number}` });
    else throw new FsError('EOPNOTSUPP', { why: feature });
  }
  const { blockSize, inodes } = options;
  return {
    ...found,
    ...(blockSize === undefined ? {} : { blockSize: blockSize as 1024 | 2048 | 4096 }),
    ...(inodes === undefined ? {} : { inodes }),
  };
}

/** Whether fsck.minix can read the format: 1 KiB blocks and zones, this machine's byte order. */
export const isForFsck = (options: Omit<FormatOptions, 'env'>): boolean =>
  (options.blockSize ?? 1024) === 1024 && !(options.features ?? []).some((one) => one.startsWith('be') || one.startsWith('zone'));

/** How a mount is done: file data one way or the other, directories in one home or the other. */
type Way = Required<Pick<MountOptions, 'io' | 'directories'>>;

const driverFor = (name: string, way: Way): DriverUnderTest => ({
  name,
  kernelType: 'minix',
  fsck: 'fsck-minix',
  mkfs: (device, options) => mkfs(device, mkfsOptions(options), options.env),
  mount: (device, options) => mount(device, { ...mountOptionsOf(options), ...way }),
  *check(device) {
    return summaryOf(yield* check(device), ({ ino, block, path }) => ({ ino, block, path }));
  },
  structures: structuresBy(minixStructures),
});

export const minix = driverFor('minix', { io: 'iomap', directories: 'buffer-cache' });
/** Directories in the page cache. */
export const minixPages = driverFor('minix, directories=page-cache', { io: 'iomap', directories: 'page-cache' });
/** The old way, by buffer heads. */
export const minixLegacy = driverFor('minix, io=legacy', { io: 'legacy', directories: 'buffer-cache' });
/** The old way beside directories in the page cache, which never go that way. */
export const minixLegacyPages = driverFor('minix, io=legacy, directories=page-cache', { io: 'legacy', directories: 'page-cache' });

/** The driver, without the tool where that cannot read the format. */
export function minixFor(options: Omit<FormatOptions, 'env'>, driver = minix): DriverUnderTest {
  if (isForFsck(options)) return driver;
  const { fsck, ...rest } = driver;
  return fsck === undefined ? driver : rest;
}

export interface NamedFormat {
  readonly name: string;
  readonly options: Omit<FormatOptions, 'env'>;
  readonly version: 1 | 2 | 3;
}

const format = (name: string, version: 1 | 2 | 3, features: readonly string[], blockSize?: number): NamedFormat => ({
  name,
  version,
  options: { features: [`v${version}`, ...features], inodes: 2048, ...(blockSize === undefined ? {} : { blockSize }) },
});

/** What fsck.minix and Linux read. */
export const PLAIN_FORMATS: readonly NamedFormat[] = [
  format('v1/14', 1, ['n14']),
  format('v1/30', 1, ['n30']),
  format('v2/14', 2, ['n14']),
  format('v2/30', 2, ['n30']),
  format('v3', 3, []),
];
/** Larger blocks: Linux reads them, fsck.minix does not. */
export const BLOCK_FORMATS: readonly NamedFormat[] = [format('v3 2k', 3, [], 2048), format('v3 4k', 3, [], 4096)];
/** Zones of several blocks and other byte orders: no tool here reads them. */
export const ODD_FORMATS: readonly NamedFormat[] = [
  format('v1/14 zones of 4k', 1, ['n14', 'zone4096']),
  format('v2/30 zones of 2k', 2, ['n30', 'zone2048']),
  format('v3 2k, zones of 16k', 3, ['zone16384'], 2048),
  format('v1/30 big-endian', 1, ['n30', 'be']),
  format('v2/14 big-endian 16', 2, ['n14', 'be16']),
  format('v3 4k big-endian 64', 3, ['be64'], 4096),
];

/** A profile that stays within what the format holds. */
export function profileFor(profile: Profile, version: 1 | 2 | 3): Profile {
  const nameMax = version === 3 ? 60 : 14;
  return {
    ...profile,
    nameMax,
    sparseMax: Math.min(profile.sparseMax, version === 1 ? 2 ** 27 : 2 ** 30),
    weights: { ...profile.weights, setxattr: 0, getxattr: 0, removexattr: 0, listxattr: 0 },
    limits: limitsOf(version),
  };
}

/** What the model has to know of a version. */
export const limitsOf = (version: 1 | 2 | 3): NonNullable<Profile['limits']> => ({
  uidMax: 0xffff,
  gidMax: version === 1 ? 0xff : 0xffff,
  rdevMax: 0xffff,
  linkMax: version === 1 ? 250 : 65_530,
  symlinkMax: 1023,
});

/** An image by mkfs.minix. */
export function mkfsMinix(path: string, kib: number, args: readonly string[]): void {
  oracle('mkfs-minix').run([...args, path, String(kib)], { expect: [0] });
}

/** Small images that our own driver made and filled: the sound ones that hostile and damaged ones are made from. */
export function smallBases(formats: readonly NamedFormat[] = [...PLAIN_FORMATS, ...BLOCK_FORMATS, ...ODD_FORMATS]): HostileBase[] {
  return formats.map(({ name, options, version }, n) => {
    const sizeBytes = ((options.blockSize ?? 1024) > 1024 || name.includes('zones') ? 1536 : 640) * 1024;
    const at = { ...options, inodes: 128 };
    const profile = profileFor(PROFILES.small, version);
    const host = imageHost({ driver: minixFor(at), sizeBytes, format: at, judge: false });
    const model = new Model({ full: true, nameMax: nameMaxOf(options, version), limits: limitsOf(version) });
    runSync(runWorkload({ host, model, profile, seed: n + 1, ops: 400, checkEvery: 400 }));
    const bytes = host.bytes.slice();
    return { name, bytes, blockSize: options.blockSize ?? 1024, structures: minixStructures(bytes) };
  });
}

export const nameMaxOf = (options: Omit<FormatOptions, 'env'>, version: 1 | 2 | 3): number =>
  version === 3 ? 60 : options.features?.includes('n14') === true ? 14 : 30;
