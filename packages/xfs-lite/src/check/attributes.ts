/** The check of one inode's attributes: inline, or leaves with every entry, its place, its hash, and the blocks of remote values. */
import type { BufOps } from '@iomap/buffer-cache';
import { corrupt, type FsError, type Io } from '@iomap/io';
import { ACL_NAMES } from '../acl.js';
import { ATTR, ATTR_LEAF, ATTR_VALUE_MAX, AttrRemote, DA_MAGIC, Da3BlkInfo } from '../ondisk-trees.js';
import { fsbToPos } from '../super.js';
import { checkOwner } from '../verify.js';
import type { CheckContext } from './context.js';
import { walkDaTree, type DaBlock } from './da-walk.js';
import type { ExtentTable } from './forks.js';
import { Numbers, Scratch } from './tables.js';

const KNOWN = ATTR.LOCAL | ATTR.ROOT | ATTR.SECURE | ATTR.PARENT | ATTR.INCOMPLETE;
const SPACES = ATTR.ROOT | ATTR.SECURE | ATTR.PARENT;
const INLINE_HEAD = 4;
const FREE_PIECES = 3;
const ACL_HEAD = 4;
const ACL_ENTRY = 12;
const ACL_MAX = 25;

interface Leaf extends DaBlock {
  readonly entries: number;
  readonly count: number;
}

export class AttributeChecker {
  readonly #context: CheckContext;
  readonly #block = new Scratch();
  readonly #value = new Scratch();
  #used = new Uint8Array(0);
  #ino = 0;
  #lastHash = 0;
  /** Remote values of the leaves: first file block, bytes. */
  readonly #remote = new Numbers();

  constructor(context: CheckContext) {
    this.#context = context;
    this.#block.ensure(context.info.blockSize);
    this.#value.ensure(context.info.blockSize);
    this.#used = new Uint8Array(context.info.blockSize);
  }

  #bad(why: string, field: string): FsError {
    return corrupt(why, { ino: this.#ino, field });
  }

  /** Attributes in the `length` bytes at `at`. @throws FsError EUCLEAN */
  inline(ino: number, bytes: Uint8Array, view: DataView, at: number, length: number): void {
    this.#ino = ino;
    if (length < INLINE_HEAD) throw this.#bad('inline attributes without a head', 'totsize');
    const total = view.getUint16(at);
    const count = view.getUint8(at + 2);
    if (total < INLINE_HEAD || total > length) throw this.#bad(`inline attributes of ${total} bytes`, 'totsize');
    let pos = at + INLINE_HEAD;
    const end = at + total;
    for (let i = 0; i < count; i++) {
      const nameLength = pos + 3 <= end ? view.getUint8(pos) : 0;
      const valueLength = nameLength === 0 ? 0 : view.getUint8(pos + 1);
      const next = pos + 3 + nameLength + valueLength;
      if (nameLength === 0 || next > end) throw this.#bad('an inline attribute is cut short', 'namelen');
      const flags = view.getUint8(pos + 2);
      this.#flags(flags & ~ATTR.LOCAL);
      this.#name(bytes, pos + 3, nameLength, flags);
      this.#acl(bytes, view, { name: pos + 3, nameLength, value: pos + 3 + nameLength, valueLength, flags });
      pos = next;
    }
    if (pos !== end) throw this.#bad(`inline attributes of ${total} bytes end at ${pos - at}`, 'totsize');
  }

  #flags(flags: number): void {
    if ((flags & ~KNOWN) !== 0) throw this.#bad(`an attribute with flags 0x${flags.toString(16)}`, 'flags');
    const space = flags & SPACES;
    if ((space & (space - 1)) !== 0) throw this.#bad('an attribute in two name spaces', 'flags');
    if ((flags & ATTR.INCOMPLETE) !== 0) throw this.#bad('an attribute that was not finished', 'flags');
  }

  /** The hash of a name. @throws FsError EUCLEAN */
  #name(bytes: Uint8Array, at: number, length: number, flags: number): number {
    let hash = 0;
    for (let i = at; i < at + length; i++) {
      const byte = bytes[i] ?? 0;
      if (byte === 0 && (flags & ATTR.PARENT) === 0) throw this.#bad('the name of an attribute with a NUL', 'name');
      hash = byte ^ ((hash << 7) | (hash >>> 25));
    }
    return hash >>> 0;
  }

  /** An access control list must be one. */
  #acl(bytes: Uint8Array, view: DataView, at: { name: number; nameLength: number; value: number; valueLength: number; flags: number }): void {
    if ((at.flags & ATTR.ROOT) === 0 || at.nameLength < 12 || at.nameLength > 16) return;
    if (!ACL_NAMES.has(String.fromCharCode(...bytes.subarray(at.name, at.name + at.nameLength)))) return;
    const count = at.valueLength < ACL_HEAD ? ACL_MAX + 1 : view.getUint32(at.value);
    const isWhole = at.valueLength >= ACL_HEAD + count * ACL_ENTRY;
    if ((count > ACL_MAX && !this.#context.info.v5) || !isWhole) throw this.#bad(`an access control list of ${count} entries in ${at.valueLength} bytes`, 'acl_cnt');
    for (let i = 0; i < count; i++) {
      const tag = view.getUint32(at.value + ACL_HEAD + i * ACL_ENTRY);
      const bits = view.getUint16(at.value + ACL_HEAD + i * ACL_ENTRY + 8);
      if (![1, 2, 4, 8, 0x10, 0x20].includes(tag) || bits > 7) throw this.#bad('an entry of an access control list', 'ae_tag');
    }
  }

  /**
   * Attributes in blocks.
   *
   * Waits on: a read of each of their blocks.
   * @throws FsError EUCLEAN, EBADMSG, EIO at the first that is wrong
   */
  *blocks(ino: number, extents: ExtentTable): Io<void> {
    this.#ino = ino;
    this.#lastHash = 0;
    this.#remote.clear();
    const { info, vol } = this.#context;
    yield* walkDaTree({
      ino,
      v5: info.v5,
      root: 0,
      read: (fileBlock) => this.#read(extents, fileBlock, vol.ops.attrTree),
      leaf: (block, magic) => {
        if (magic !== DA_MAGIC.attr[info.v5 ? 1 : 0]) throw this.#bad('no attribute leaf where one should be', 'magic');
        return this.#leaf(block);
      },
    });
    for (let i = 0; i < this.#remote.length; i += 2) yield* this.#remoteValue(extents, this.#remote.at(i), this.#remote.at(i + 1));
  }

  *#read(extents: ExtentTable, fileBlock: number, ops: BufOps): Io<DaBlock> {
    const { info } = this.#context;
    const fsb = extents.find(fileBlock);
    if (fsb < 0) throw this.#bad('a block of attributes is a hole', 'br_startoff');
    const { bytes, view } = this.#block;
    const block = { bytes, view, pos: fsbToPos(info, fsb) };
    yield* this.#context.read(block.pos, bytes);
    this.#context.verify(ops, view, block, this.#ino);
    const at = Da3BlkInfo.offsets.owner;
    if (info.v5) checkOwner(view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4), this.#ino, block.pos, ops.name);
    return block;
  }

  /** Takes a leaf; answers its last hash, -1 when it is empty. */
  #leaf({ bytes, view, pos }: DaBlock): number {
    const v = this.#context.info.v5 ? 1 : 0;
    const entries = ATTR_LEAF.entries[v];
    const count = view.getUint16(ATTR_LEAF.count[v]);
    const end = entries + count * 8;
    if (end > bytes.length) throw this.#bad(`${count} attributes in a leaf`, 'count');
    this.#used.fill(0);
    this.#use(0, end);
    const leaf: Leaf = { bytes, view, pos, entries, count };
    let total = 0;
    let first = bytes.length;
    for (let i = 0; i < count; i++) {
      const hash = view.getUint32(entries + i * 8);
      if (hash < this.#lastHash) throw this.#bad('hashes of attributes are out of order', 'hashval');
      this.#lastHash = hash;
      total += this.#entry(leaf, i);
      first = Math.min(first, view.getUint16(entries + i * 8 + 4));
    }
    if (view.getUint16(ATTR_LEAF.usedbytes[v]) !== total) throw this.#bad(`attributes of ${total} bytes in a leaf that says ${view.getUint16(ATTR_LEAF.usedbytes[v])}`, 'usedbytes');
    const stored = view.getUint16(ATTR_LEAF.firstused[v]);
    // A block of 64 KiB has no room for its own size.
    const firstUsed = stored === 0 && bytes.length === 65_536 ? 65_536 : stored;
    if (firstUsed > first || firstUsed < end) throw this.#bad(`a leaf says ${firstUsed} is its first used byte, not ${first}`, 'firstused');
    for (let i = 0; i < FREE_PIECES; i++) {
      const base = view.getUint16(ATTR_LEAF.freemap[v] + i * 4);
      const size = view.getUint16(ATTR_LEAF.freemap[v] + i * 4 + 2);
      if (base + size > bytes.length || base % 4 !== 0 || size % 4 !== 0) throw this.#bad('a free piece of a leaf', 'freemap');
      this.#use(base, base + size);
    }
    return count === 0 ? -1 : this.#lastHash;
  }

  /** Bytes [from, end) of a leaf are somebody's. */
  #use(from: number, end: number): void {
    const at = this.#used.indexOf(1, from);
    if (at >= 0 && at < end) throw this.#bad('pieces of an attribute leaf overlap', 'nameidx');
    this.#used.fill(1, from, end);
  }

  /** One attribute; answers its bytes. */
  #entry({ bytes, view, entries, count }: Leaf, i: number): number {
    const place = entries + i * 8;
    const at = view.getUint16(place + 4);
    const flags = view.getUint8(place + 6);
    this.#flags(flags);
    const isLocal = (flags & ATTR.LOCAL) !== 0;
    const head = isLocal ? 3 : 9;
    if (at < entries + count * 8 || at + head > bytes.length || at % 4 !== 0) throw this.#bad('an attribute lies outside its leaf', 'nameidx');
    const nameLength = view.getUint8(at + head - 1);
    const valueLength = isLocal ? view.getUint16(at) : view.getUint32(at + 4);
    // The kernel counts two bytes more for a remote one than its name needs.
    const size = Math.ceil((isLocal ? head + nameLength + valueLength : head + 2 + nameLength) / 4) * 4;
    if (nameLength === 0 || at + size > bytes.length) throw this.#bad('an attribute is cut short', 'namelen');
    this.#use(at, at + size);
    const hash = this.#name(bytes, at + head, nameLength, flags);
    // Parent pointers are hashed with the number of the parent.
    if ((flags & ATTR.PARENT) === 0 && hash !== view.getUint32(place)) throw this.#bad('an attribute is not found by its hash', 'hashval');
    if (isLocal) {
      this.#acl(bytes, view, { name: at + head, nameLength, value: at + head + nameLength, valueLength, flags });
    } else {
      if (valueLength > ATTR_VALUE_MAX) throw this.#bad(`an attribute of ${valueLength} bytes`, 'valuelen');
      this.#remote.push(view.getUint32(at));
      this.#remote.push(valueLength);
    }
    return size;
  }

  *#remoteValue(extents: ExtentTable, first: number, length: number): Io<void> {
    const { info, vol } = this.#context;
    const head = info.v5 ? AttrRemote.size : 0;
    const { bytes, view } = this.#value;
    const at = AttrRemote.offsets;
    for (let i = 0, done = 0; done < length; i++) {
      const fsb = extents.find(first + i);
      if (fsb < 0) throw this.#bad('a remote value in a hole', 'valueblk');
      const part = Math.min(info.blockSize - head, length - done);
      if (info.v5) {
        const pos = fsbToPos(info, fsb);
        yield* this.#context.read(pos, bytes);
        this.#context.verify(vol.ops.attrRemote, view, { bytes, pos }, this.#ino);
        checkOwner(view.getUint32(at.rm_owner) * 2 ** 32 + view.getUint32(at.rm_owner + 4), this.#ino, pos, 'remote attribute block');
        if (view.getUint32(at.rm_offset) !== done || view.getUint32(at.rm_bytes) !== part) throw this.#bad('a block of another part of a value', 'rm_offset');
      }
      done += part;
    }
  }
}
