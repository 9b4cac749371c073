/**
 * Where the structures of a sound ext2 image are, for the mutator: superblocks, descriptors, bitmaps, inodes, directory
 * entries, indexes, indirect blocks, xattrs. It reads a sound image and so checks little.
 */
import { fieldsOf, type StructureField, type StructurePlace } from '@iomap/conformance';
import {
  Ext2DirEntry,
  Ext2DxRoot,
  Ext2GroupDesc,
  Ext2Inode,
  Ext2InodeLarge,
  Ext2Super,
  Ext2XattrEntry,
  Ext2XattrHeader,
  INDEX_FL,
  SUPER_POS,
} from '../src/ondisk.js';

const SUPER = fieldsOf(Ext2Super);
/** The fields that ext2 itself uses: those of ext4 alone would take most of the hits. */
const SUPER_CORE = SUPER.filter((field) => field.offset < 0x68 || (field.offset >= 0xc8 && field.offset < 0x110));
const GROUP = fieldsOf(Ext2GroupDesc);
const INODE = fieldsOf(Ext2Inode);
const INODE_LARGE = fieldsOf(Ext2InodeLarge);
const DIRENT = [...fieldsOf(Ext2DirEntry), { name: 'name[0]', offset: 8, sizeBytes: 1 }];
const DX_ROOT = fieldsOf(Ext2DxRoot).filter((field) => field.sizeBytes <= 4);
const XATTR_HEADER = fieldsOf(Ext2XattrHeader);
const XATTR_ENTRY = fieldsOf(Ext2XattrEntry);
const words = (name: string, count: number, from = 0): StructureField[] =>
  Array.from({ length: count }, (_, n) => ({ name: `${name}[${from + n}]`, offset: (from + n) * 4, sizeBytes: 4 }));

/** A few of everything is enough, and keeps the list short. */
const INODES_MAX = 400;
const DIRENTS_MAX = 600;

class Finder {
  readonly places: StructurePlace[] = [];
  readonly #bytes: Uint8Array;
  readonly #data: DataView;
  readonly #blockSize: number;
  #dirents = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#blockSize = 1024 * 2 ** this.#data.getUint32(SUPER_POS + 24, true);
  }

  #u32(pos: number): number {
    return pos + 4 <= this.#bytes.length ? this.#data.getUint32(pos, true) : 0;
  }

  #add(kind: string, pos: number, fields: readonly StructureField[]): void {
    this.places.push({ kind, pos, fields, littleEndian: true });
  }

  /** The blocks of an inode, in order; indirect blocks are added as places on the way. */
  #blocks(inodePos: number): number[] {
    const blocks: number[] = [];
    const per = this.#blockSize / 4;
    const walk = (block: number, level: number): void => {
      if (block === 0 || blocks.length > 300) return;
      const pos = block * this.#blockSize;
      if (level === 0) {
        blocks.push(block);
        return;
      }
      this.#add(level === 1 ? 'indirect' : 'multi-indirect', pos, [...words('entry', 12), ...words('entry', 4, per - 4)]);
      for (let n = 0; n < per; n++) walk(this.#u32(pos + n * 4), level - 1);
    };
    for (let n = 0; n < 15; n++) walk(this.#u32(inodePos + 40 + n * 4), n < 12 ? 0 : n - 11);
    return blocks;
  }

  #directory(inodePos: number, isRoot: boolean): void {
    const indexed = (this.#u32(inodePos + 32) & INDEX_FL) !== 0;
    for (const [n, block] of this.#blocks(inodePos).entries()) {
      const start = block * this.#blockSize;
      if (indexed && n === 0) {
        this.#add('dx-root', start, DX_ROOT);
        this.#add('dx-entries', start + 0x28, words('dx', 8));
      }
      for (let at = 0; at + 8 <= this.#blockSize && this.#dirents < DIRENTS_MAX; ) {
        const length = this.#data.getUint16(start + at + 4, true);
        if (length < 8) break;
        this.#add(isRoot ? 'root-dirent' : 'dirent', start + at, DIRENT);
        this.#dirents++;
        at += length;
      }
    }
  }

  #xattrEntries(kind: string, pos: number, end: number): void {
    for (let at = pos; at + 16 <= end && this.#u32(at) !== 0; at += 16 + Math.ceil((this.#bytes[at] ?? 0) / 4) * 4) {
      this.#add(kind, at, XATTR_ENTRY);
    }
  }

  #inode(ino: number, pos: number, inodeSize: number): boolean {
    const mode = this.#data.getUint16(pos, true);
    if (mode === 0) return false;
    const large = inodeSize >= 160;
    const type = mode & 0o170000;
    this.#add(ino === 2 ? 'root-inode' : ino < 11 ? 'reserved-inode' : `inode`, pos, large ? INODE_LARGE : INODE);
    const acl = this.#u32(pos + 104);
    if (acl !== 0) {
      this.#add('xattr-header', acl * this.#blockSize, XATTR_HEADER);
      this.#xattrEntries('xattr-entry', acl * this.#blockSize + 32, (acl + 1) * this.#blockSize);
    }
    if (large) {
      const body = pos + 128 + this.#data.getUint16(pos + 128, true);
      if (body + 4 < pos + inodeSize && this.#u32(body) === 0xea020000) this.#xattrEntries('xattr-in-inode', body + 4, pos + inodeSize);
    }
    if (type === 0o040000) this.#directory(pos, ino === 2);
    else if (type === 0o100000 || (type === 0o120000 && this.#u32(pos + 4) >= 60)) this.#blocks(pos);
    return true;
  }

  run(): StructurePlace[] {
    const at = (offset: number): number => this.#u32(SUPER_POS + offset);
    const blockSize = this.#blockSize;
    const inodeSize = at(0x4c) === 0 ? 128 : this.#data.getUint16(SUPER_POS + 0x58, true);
    const perGroup = at(0x28);
    const firstBlock = at(0x14);
    const groups = Math.ceil((at(0x04) - firstBlock) / at(0x20));
    this.#add('superblock', SUPER_POS, SUPER_CORE);
    this.#add('superblock-all', SUPER_POS, SUPER);
    let seen = 0;
    for (let group = 0; group < groups; group++) {
      const desc = (firstBlock + 1) * blockSize + group * 32;
      this.#add('group-desc', desc, GROUP);
      this.#add('block-bitmap', this.#u32(desc) * blockSize, words('word', 16));
      this.#add('inode-bitmap', this.#u32(desc + 4) * blockSize, words('word', 4));
      const table = this.#u32(desc + 8) * blockSize;
      for (let n = 0; n < perGroup && seen < INODES_MAX; n++) {
        if (this.#inode(group * perGroup + n + 1, table + n * inodeSize, inodeSize)) seen++;
      }
    }
    const inside = (place: StructurePlace): boolean => place.pos >= 0 && place.pos + 64 <= this.#bytes.length;
    return this.places.filter(inside);
  }
}

/** The places of a sound image's structures. */
export const ext2Structures = (bytes: Uint8Array): StructurePlace[] => new Finder(bytes).run();
