/**
 * What a study does: workloads over the same images for both ways. Positions come from a seed, so counts are the same in every run.
 *
 * A workload begins on a fresh copy of its image, with nothing cached; it goes below the vfs, to the driver's own operations, as the
 * vfs calls them: the plain twin first.
 */
import { runSync } from '@iomap/io';
import type { AddressSpace } from '@iomap/page-cache';
import type { FileSystem, Inode, MappedData } from '@iomap/vfs';
import type { StudyDriver, StudyMount } from './mounts.js';
import { countedDevice } from './mounts.js';

export const FILE_BYTES = 16 * 2 ** 20;
export const IMAGE_BYTES = 32 * 2 ** 20;
export const SMALL_FILES = 1000;
const SMALL_BYTES = 4096;
export const CALL_SIZES: readonly number[] = [1024, 4096, 65_536, 2 ** 20];

export type ImageName = 'empty' | 'file' | 'sparse' | 'small';

/** One mount under study, and what a workload needs of it. */
export class Subject {
  readonly fs: FileSystem;
  readonly mount: StudyMount;
  readonly root: Inode;
  /** Bytes of folios with dirty blocks at each fsync: what would be written without a bit per block. */
  dirtyFolioBytes = 0;
  /** Bytes that the workload's calls wrote or read. */
  bytes = 0;
  /** Files that were used, for the state that they leave in the cache. */
  readonly used = new Set<Inode>();

  constructor(mount: StudyMount) {
    this.mount = mount;
    this.fs = mount.fs;
    this.root = runSync(mount.fs.readInode(mount.fs.rootIno));
  }

  create(name: string): Inode {
    const now = { sec: 1_700_000_000, nsec: 0 };
    const inode = runSync(this.fs.create(this.root, name, { mode: 0o100644, uid: 0, gid: 0, rdev: 0, now }));
    this.used.add(inode);
    return inode;
  }

  open(name: string): Inode {
    const inode = runSync(this.fs.readInode(runSync(this.fs.lookup(this.root, name))));
    this.used.add(inode);
    return inode;
  }

  write(inode: Inode, pos: number, bytes: Uint8Array): void {
    const put = this.fs.peekWrite?.(inode, pos, bytes) ?? -1;
    if (put < 0) runSync(this.fs.write(inode, pos, bytes));
    this.bytes += bytes.length;
  }

  read(inode: Inode, pos: number, bytes: Uint8Array): void {
    const got = this.fs.peekRead?.(inode, pos, bytes) ?? -1;
    if (got < 0) runSync(this.fs.read(inode, pos, bytes));
    this.bytes += bytes.length;
  }

  writeDirect(inode: Inode, pos: number, bytes: Uint8Array): void {
    if (this.fs.writeHow !== undefined) runSync(this.fs.writeHow(inode, pos, bytes, { direct: true }));
    this.bytes += bytes.length;
  }

  readDirect(inode: Inode, pos: number, bytes: Uint8Array): void {
    if (this.fs.readHow !== undefined) runSync(this.fs.readHow(inode, pos, bytes, { direct: true }));
    this.bytes += bytes.length;
  }

  map(inode: Inode): MappedData | undefined {
    return this.fs.map?.(inode, true);
  }

  fsync(inode: Inode): void {
    const mapping: AddressSpace | undefined = this.mount.mappingOf(inode);
    for (let folio = mapping?.nextDirty(0, Infinity); folio !== undefined; folio = mapping?.nextDirty(folio.end, Infinity)) {
      this.dirtyFolioBytes += folio.size;
    }
    runSync(this.fs.fsync(inode, true));
  }
}

export interface Workload {
  readonly key: string;
  /** Rows of one group are one table and one plot. */
  readonly group: string;
  /** Bytes of a call. */
  readonly callBytes: number;
  readonly image: ImageName;
  /** What the mount must have. */
  readonly needs?: 'direct' | 'map';
  readonly folioMaxBytes?: number;
  run(subject: Subject): void;
}

/** Positions of `count` calls of `size` bytes in the file, no two the same: a walk by a stride that is prime to their number. */
function scattered(size: number, count: number): number[] {
  const slots = FILE_BYTES / size;
  const stride = slots <= 16 ? 5 : 2 * Math.floor(slots * 0.309) + 1;
  return Array.from({ length: Math.min(count, slots) }, (_, n) => ((3 + n * stride) % slots) * size);
}

const filled = (size: number): Uint8Array => new Uint8Array(size).fill(0x5a);

const sequence = (size: number): number[] => Array.from({ length: FILE_BYTES / size }, (_, n) => n * size);

/** Writes at each position, then an fsync. */
function writeAll(subject: Subject, inode: Inode, positions: readonly number[], size: number): void {
  const bytes = filled(size);
  each(positions, (pos) => subject.write(inode, pos, bytes));
  subject.fsync(inode);
}

type Kind = Pick<Workload, 'group' | 'image' | 'needs'> & { readonly key: string; run(subject: Subject, size: number): void };

const each = (positions: readonly number[], act: (pos: number) => void): void => {
  for (const pos of positions) act(pos);
};

const KINDS: readonly Kind[] = [
  {
    key: 'write', group: 'sequential write of a new file, then fsync', image: 'empty',
    run(subject, size) {
      const inode = subject.create('file');
      writeAll(subject, inode, sequence(size), size);
    },
  },
  {
    key: 'overwrite', group: 'sequential overwrite, then fsync', image: 'file',
    run(subject, size) {
      const inode = subject.open('file');
      writeAll(subject, inode, sequence(size), size);
    },
  },
  {
    key: 'random-write', group: 'random overwrites, then fsync', image: 'file',
    run(subject, size) {
      const inode = subject.open('file');
      writeAll(subject, inode, scattered(size, 1024), size);
    },
  },
  {
    key: 'sync-write', group: 'synchronous writes: an fsync after each', image: 'empty',
    run(subject, size) {
      const inode = subject.create('file');
      const bytes = filled(size);
      const end = Math.min(FILE_BYTES, Math.max(256 * size, 4 * 2 ** 20), 256 * size);
      for (let pos = 0; pos < end; pos += size) {
        subject.write(inode, pos, bytes);
        subject.fsync(inode);
      }
    },
  },
  {
    key: 'read', group: 'sequential read, nothing cached', image: 'file',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = new Uint8Array(size);
      each(sequence(size), (pos) => subject.read(inode, pos, bytes));
    },
  },
  {
    key: 'reread', group: 'sequential read, all cached', image: 'file',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = new Uint8Array(size);
      for (let pass = 0; pass < 4; pass++) each(sequence(size), (pos) => subject.read(inode, pos, bytes));
    },
  },
  {
    key: 'random-read', group: 'random reads, nothing cached', image: 'file',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = new Uint8Array(size);
      each(scattered(size, 1024), (pos) => subject.read(inode, pos, bytes));
    },
  },
  {
    key: 'hole', group: 'sequential read of a hole', image: 'sparse',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = new Uint8Array(size);
      each(sequence(size), (pos) => subject.read(inode, pos, bytes));
    },
  },
  {
    key: 'direct-write', group: 'direct sequential overwrite', image: 'file', needs: 'direct',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = filled(size);
      each(sequence(size), (pos) => subject.writeDirect(inode, pos, bytes));
    },
  },
  {
    key: 'direct-read', group: 'direct sequential read', image: 'file', needs: 'direct',
    run(subject, size) {
      const inode = subject.open('file');
      const bytes = new Uint8Array(size);
      each(sequence(size), (pos) => subject.readDirect(inode, pos, bytes));
    },
  },
  {
    key: 'mapped-write', group: 'stores into a mapped file, then msync', image: 'file', needs: 'map',
    run(subject, size) {
      const mapped = subject.map(subject.open('file'));
      if (mapped === undefined) return;
      const bytes = filled(size);
      each(scattered(size, 1024), (pos) => {
        runSync(mapped.write(pos, bytes));
        subject.bytes += size;
      });
      runSync(mapped.msync(0, FILE_BYTES));
      mapped.close();
    },
  },
];

const SMALL: readonly Workload[] = [
  {
    key: 'small-write', group: `${SMALL_FILES} files of 4 KiB`, callBytes: SMALL_BYTES, image: 'empty',
    run(subject) {
      const bytes = filled(SMALL_BYTES);
      for (let n = 0; n < SMALL_FILES; n++) subject.write(subject.create(`f${n}`), 0, bytes);
      runSync(subject.fs.sync());
    },
  },
  {
    key: 'small-read', group: `${SMALL_FILES} files of 4 KiB`, callBytes: SMALL_BYTES, image: 'small',
    run(subject) {
      const bytes = new Uint8Array(SMALL_BYTES);
      for (let n = 0; n < SMALL_FILES; n++) subject.read(subject.open(`f${n}`), 0, bytes);
    },
  },
];

/** The published case: everything cached in folios of 64 KiB, 4 KiB overwrites, each followed by fdatasync. */
export const AMPLIFICATION: Workload = {
  key: 'amplification', group: 'write amplification', callBytes: 4096, image: 'file', folioMaxBytes: 65_536,
  run(subject) {
    const inode = subject.open('file');
    const chunk = new Uint8Array(65_536);
    each(sequence(chunk.length), (pos) => subject.read(inode, pos, chunk));
    subject.bytes = 0;
    const bytes = filled(4096);
    each(scattered(4096, 256), (pos) => {
      subject.write(inode, pos, bytes);
      subject.fsync(inode);
    });
  },
};

export const WORKLOADS: readonly Workload[] = [
  ...KINDS.flatMap((kind) =>
    CALL_SIZES.map((size): Workload => ({ ...kind, key: `${kind.key}-${size}`, callBytes: size, run: (subject) => kind.run(subject, size) })),
  ),
  ...SMALL,
];

/** The images that workloads begin with. */
export function makeImages(driver: StudyDriver): Readonly<Record<ImageName, Uint8Array>> {
  const make = (fill: (subject: Subject) => void): Uint8Array => {
    const bytes = new Uint8Array(IMAGE_BYTES);
    const { device } = countedDevice(bytes);
    driver.mkfs(device);
    const subject = new Subject(driver.mount(device, { way: 'iomap' }));
    fill(subject);
    for (const inode of subject.used) runSync(subject.fs.evictInode(inode));
    runSync(subject.fs.evictInode(subject.root));
    runSync(subject.fs.unmount());
    return bytes;
  };
  const write = KINDS[0];
  return {
    empty: make(() => undefined),
    file: make((subject) => write?.run(subject, 2 ** 20)),
    sparse: make((subject) => {
      runSync(subject.fs.setattr(subject.create('file'), { size: FILE_BYTES }));
    }),
    small: make((subject) => SMALL[0]?.run(subject)),
  };
}
