/**
 * Directory entries: fixed slots of an inode number (0 = free) and a name padded with NULs, one after another to the directory's
 * size. Plain functions over a block's bytes.
 */
import { isHole, type DirBlock, type EntryFormat } from '@iomap/block-map';
import { corrupt } from '@iomap/io';
import type { MinixInode } from './inode.js';
import type { Geometry } from './super.js';

/** What a new entry says. */
export interface NewEntry {
  readonly name: string;
  readonly ino: number;
}

/** The bytes that entries are in, wherever they are. */
export type EntryBytes = Pick<DirBlock, 'bytes' | 'view'>;

export class Entries implements EntryFormat<MinixInode, NewEntry> {
  readonly perBlock: number;
  readonly needMin: number;
  readonly nameMax: number;
  readonly #blockSize: number;
  readonly #size: number;
  readonly #nameAt: number;
  readonly #le: boolean;
  readonly #inodesCount: number;

  constructor(geometry: Geometry) {
    this.#blockSize = geometry.blockSize;
    this.#size = geometry.entryBytes;
    this.#nameAt = geometry.inoBytes;
    this.#le = geometry.littleEndian;
    this.#inodesCount = geometry.inodesCount;
    this.perBlock = geometry.blockSize / geometry.entryBytes;
    this.needMin = geometry.entryBytes;
    this.nameMax = geometry.nameMax;
  }

  /** The number at `offset` as it stands. */
  rawIno(buf: EntryBytes, offset: number): number {
    return this.#nameAt === 4 ? buf.view.getUint32(offset, this.#le) : buf.view.getUint16(offset, this.#le);
  }

  setIno(buf: EntryBytes, offset: number, ino: number): void {
    if (this.#nameAt === 4) buf.view.setUint32(offset, ino, this.#le);
    else buf.view.setUint16(offset, ino, this.#le);
  }

  /** Bytes of whole entries in block `index` of the directory. */
  bytesIn(dir: { readonly size: number }, index: number): number {
    const rest = Math.min(this.#blockSize, dir.size - index * this.#blockSize);
    return rest - (rest % this.#size);
  }

  find(dir: MinixInode, buf: DirBlock, index: number, name: string): number {
    if (isHole(buf)) return -1;
    const { bytes } = buf;
    const size = this.#size;
    const { length } = name;
    const first = name.charCodeAt(0);
    const ends = length < this.nameMax;
    const limit = this.bytesIn(dir, index);
    for (let offset = 0; offset < limit; offset += size) {
      const start = offset + this.#nameAt;
      if (bytes[start] !== first || (ends && bytes[start + length] !== 0)) continue;
      let i = 1;
      while (i < length && bytes[start + i] === name.charCodeAt(i)) i++;
      if (i === length && this.rawIno(buf, offset) !== 0) return offset;
    }
    return -1;
  }

  each(dir: MinixInode, buf: DirBlock, index: number, from: number, visit: (offset: number, next: number) => boolean): boolean {
    if (isHole(buf)) return true;
    const size = this.#size;
    const limit = this.bytesIn(dir, index);
    for (let offset = from + ((size - (from % size)) % size); offset < limit; offset += size) {
      if (this.rawIno(buf, offset) !== 0 && !visit(offset, offset + size)) return false;
    }
    return true;
  }

  nameAt(buf: EntryBytes, offset: number): string {
    const { bytes } = buf;
    const start = offset + this.#nameAt;
    const end = start + this.nameMax;
    let stop = start;
    while (stop < end && bytes[stop] !== 0) stop++;
    // One flat string, not a chain of concatenations: it becomes the key of a map.
    return Reflect.apply(String.fromCharCode, undefined, bytes.subarray(start, stop)) as string;
  }

  inoAt(dir: MinixInode, buf: DirBlock, offset: number): number {
    const ino = this.rawIno(buf, offset);
    if (ino > this.#inodesCount) throw corrupt('a directory entry leads to no inode', { ino: dir.ino, field: 'inode' });
    return ino;
  }

  need(): number {
    return this.#size;
  }

  insert(dir: MinixInode, buf: DirBlock, index: number, entry: NewEntry): number {
    if (isHole(buf)) return 0;
    const size = this.#size;
    const base = index * this.#blockSize;
    const limit = this.bytesIn(dir, index);
    for (let offset = 0; offset < this.#blockSize; offset += size) {
      if (offset < limit && this.rawIno(buf, offset) !== 0) continue;
      this.write(buf, offset, entry);
      dir.size = Math.max(dir.size, base + offset + size);
      return -1;
    }
    return 0;
  }

  remove(buf: DirBlock, offset: number): void {
    this.setIno(buf, offset, 0);
  }

  write(buf: EntryBytes, offset: number, entry: NewEntry): void {
    const { bytes } = buf;
    const { name } = entry;
    this.setIno(buf, offset, entry.ino);
    const start = offset + this.#nameAt;
    for (let i = 0; i < name.length; i++) bytes[start + i] = name.charCodeAt(i);
    bytes.fill(0, start + name.length, offset + this.#size);
  }
}
