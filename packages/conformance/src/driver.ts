/**
 * What a driver passes of itself to the suites: this package never imports one.
 *
 * All of it is Io, so that each suite runs under every runner.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Env, Io } from '@iomap/io';
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
