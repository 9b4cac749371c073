/**
 * The filesystems that the command knows: one table. A new driver is one more entry.
 *
 * The drivers are loaded when a command needs them, so that `--help` and the host's side of a command start fast.
 */
import type { BlockDevice } from '@iomap/block-device';
import type { Env, Io } from '@iomap/io';
import type { BulkData, BulkOptions, FileSystem } from '@iomap/vfs';
import type { SourceInode } from './source/source.js';

/** What a check found. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly [key: string]: unknown;
}

export interface CheckOutcome {
  readonly clean: boolean;
  readonly findings: readonly Finding[];
}

/** What a repair did. */
export interface RepairOutcome extends CheckOutcome {
  /** What was mended, or would be; `findings` and `clean` are of the image afterwards. */
  readonly fixes: readonly Finding[];
}

export interface RepairRequest {
  /** Finds out, and writes nothing. */
  readonly dryRun: boolean;
  /** Gets an undo file before anything is written. */
  readonly beforeWrite?: (undo: Uint8Array) => void;
}

export interface FormatRequest {
  readonly env: Env;
  readonly label?: string | undefined;
  readonly uuid?: Uint8Array | undefined;
  readonly blockSize?: number | undefined;
  readonly inodeSize?: number | undefined;
  readonly inodes?: number | undefined;
  readonly features?: readonly string[] | undefined;
  /** Bytes. */
  readonly sectorSize?: number | undefined;
  /** Bytes of a directory block. */
  readonly directorySize?: number | undefined;
  /** Allocation groups. */
  readonly groups?: number | undefined;
  /** Bytes of the log. */
  readonly logSize?: number | undefined;
  /** Bytes of a stripe's unit and of the whole. */
  readonly stripe?: { readonly unit: number; readonly width: number } | undefined;
  /** Blocks that are not to be used. */
  readonly badBlocks?: readonly number[] | undefined;
  /** The device is a file that was just made: it reads as zeroes. */
  readonly freshFile?: boolean;
  /** Per cent of the blocks that only root may use. */
  readonly reservedPercent?: number | undefined;
}

export interface MountRequest {
  readonly env?: Env;
  readonly readOnly: boolean;
  /** Bytes of file data kept. */
  readonly cacheBytes?: number;
}

/** How large an image has to be. */
export interface ImagePlan {
  readonly sizeBytes: number;
  /** Absent: a format that makes inodes as they are needed. */
  readonly inodes?: number;
  readonly blockSize?: number;
}

export interface PlanRequest extends Omit<FormatRequest, 'env'> {
  readonly root: SourceInode;
  /** 0 = as the source says; 1 = as if no file had holes and with more room, after a first try ran out of space. */
  readonly generosity: number;
}

/** One fact of `info`: a key for JSON, a label for people. */
export interface ImageFact {
  readonly key: string;
  readonly label: string;
  readonly value: string | number | boolean | readonly string[] | null;
}

export interface Driver {
  readonly type: string;
  /** Whether the device holds this filesystem (its magic is there; it need not be sound). */
  probe(device: BlockDevice): Io<boolean>;
  mkfs(device: BlockDevice, request: FormatRequest): Io<unknown>;
  mount(device: BlockDevice, request: MountRequest): Io<FileSystem>;
  check(device: BlockDevice): Io<CheckOutcome>;
  /** Absent: there is no repair for this type. */
  repair?(device: BlockDevice, request: RepairRequest): Io<RepairOutcome>;
  /** Puts back what a repair changed. */
  undo?(device: BlockDevice, file: Uint8Array): Io<void>;
  facts(device: BlockDevice): Io<readonly ImageFact[]>;
  plan(request: PlanRequest): ImagePlan;
  /** Features of an image that is sized to fit, where none are asked for. */
  readonly fittedFeatures?: readonly string[];
  /** Makes a filesystem that holds a tree, in one go. A driver without it is mounted and filled. */
  readonly bulkBuild?: (device: BlockDevice, request: FormatRequest, tree: BulkTree) => Io<unknown>;
}

/** What `bulkBuild` puts into an image. */
export interface BulkTree {
  readonly root: SourceInode;
  readonly data: BulkData<SourceInode>;
  readonly options: BulkOptions;
}

/** Bytes from a device's start that `isLikely` looks at. */
export const HEAD_BYTES = 2048;

const MINIX_MAGICS = [0x137f, 0x138f, 0x2468, 0x2478];

/** Either byte order. */
const isMinix = (head: DataView): boolean =>
  [true, false].some((little) => MINIX_MAGICS.includes(head.getUint16(0x410, little)) || head.getUint16(0x418, little) === 0x4d5a);

/**
 * Detection order. `isLikely` says by the first `HEAD_BYTES` of a device (zeroes beyond its end) whether its driver is worth
 * loading: true wherever `probe` is.
 */
export const DRIVERS: readonly {
  readonly type: string;
  readonly isLikely: (head: DataView) => boolean;
  readonly load: () => Promise<Driver>;
}[] = [
  {
    type: 'ext2',
    isLikely: (head) => head.getUint16(0x438, true) === 0xef53,
    load: async () => (await import('./drivers/ext2.js')).ext2Driver,
  },
  { type: 'minix', isLikely: isMinix, load: async () => (await import('./drivers/minix.js')).minixDriver },
  {
    type: 'xfs',
    isLikely: (head) => head.getUint32(0) === 0x5846_5342,
    load: async () => (await import('./drivers/xfs.js')).xfsDriver,
  },
];
