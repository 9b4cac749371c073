/**
 * What a driver passes of itself to the suites: this package never imports one.
 *
 * All of it is Io, so that each suite runs under every runner.
 */
import type { BlockDevice } from '@iomap/block-device';
import { submitBio, type Env, type Io } from '@iomap/io';
import type { FileSystem } from '@iomap/vfs';
import type { OracleName } from './oracle.js';

/** How an image is made. A driver ignores what its format does not have and names what it cannot do (EOPNOTSUPP). */
export interface FormatOptions {
  readonly env: Env;
  /** Bytes. */
  readonly blockSize?: number;
  /** Bytes on disk of one inode. */
  readonly inodeSize?: number;
  /** How many inodes. */
  readonly inodes?: number;
  /** Feature names in the format's own words; `^name` switches one off. */
  readonly features?: readonly string[];
  readonly label?: string;
  /** 16 bytes. */
  readonly uuid?: Uint8Array;
}

export interface MountOptions {
  readonly env: Env;
  readonly readOnly?: boolean;
  /** Bytes for the page cache and for metadata buffers; the driver's own default when absent. */
  readonly cacheBytes?: number;
  readonly bufferBytes?: number;
}

/** What a check found, as far as the suites look at it. */
export interface CheckSummary {
  readonly clean: boolean;
  /** One line each. */
  readonly findings: readonly string[];
}

/** One field of a structure in an image: bytes from the structure's start. */
export interface StructureField {
  readonly name: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** A structure at a place in an image: what the mutator aims at. */
export interface StructurePlace {
  /** As "superblock", "inode", "dirent": mutants are counted by it. */
  readonly kind: string;
  /** Bytes from the start of the device. */
  readonly pos: number;
  readonly fields: readonly StructureField[];
  readonly littleEndian: boolean;
}

export interface DriverUnderTest {
  /** The driver's name, as "ext2". */
  readonly name: string;
  /** The kernel's name for `mount -t`, where the kernel may have it. */
  readonly kernelType?: string;
  /** The tool that judges an image of this format. */
  readonly fsck?: OracleName;
  /** File holes, so that writes past the end allocate nothing in between. Default true. */
  readonly sparse?: boolean;
  mkfs(device: BlockDevice, options: FormatOptions): Io<unknown>;
  mount(device: BlockDevice, options: MountOptions): Io<FileSystem>;
  check(device: BlockDevice): Io<CheckSummary>;
  /** Where the structures of a sound image are. */
  structures?(device: BlockDevice): Io<readonly StructurePlace[]>;
}

/** The caches' sizes as drivers name them, and the rest of what a suite asks of a mount. */
export const mountOptionsOf = ({ env, readOnly, cacheBytes, bufferBytes }: MountOptions): {
  readonly env: Env;
  readonly readOnly?: boolean;
  readonly pageCacheBytes?: number;
  readonly bufferCacheBytes?: number;
} => ({
  env,
  ...(readOnly === undefined ? {} : { readOnly }),
  ...(cacheBytes === undefined ? {} : { pageCacheBytes: cacheBytes }),
  ...(bufferBytes === undefined ? {} : { bufferCacheBytes: bufferBytes }),
});

/** A finding of a driver's check, as far as a summary says it. */
interface SummedFinding {
  readonly severity: string;
  readonly code: string;
  readonly message: string;
}

/** A check's report for the suites: a line for each error. @param place what the line says of where it is */
export const summaryOf = <F extends SummedFinding>(
  report: { readonly clean: boolean; readonly findings: readonly F[] }, place: (finding: F) => object,
): CheckSummary => ({
  clean: report.clean,
  findings: report.findings
    .filter((one) => one.severity === 'error')
    .map((one) => `${one.code} ${one.message} ${JSON.stringify(place(one))}`),
});

/** `structures` of a driver that finds them in an image's bytes. */
export const structuresBy = (find: (bytes: Uint8Array) => readonly StructurePlace[]): NonNullable<DriverUnderTest['structures']> =>
  function* (device) {
    const bytes = new Uint8Array(device.sizeBytes);
    yield* submitBio(device, { op: 'read', pos: 0, segments: [bytes], lengthBytes: bytes.length });
    return find(bytes);
  };
