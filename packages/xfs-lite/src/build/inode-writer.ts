/**
 * A new inode: its core, and where its forks lie in it.
 *
 * The attribute fork begins where the kernel would put it: as far behind as inline attributes allow, with room for a tree's root
 * in either fork; see `#divide`.
 */
import { FsError, roundUp, type Io, type Timespec } from '@iomap/io';
import type { FileType } from '@iomap/vfs';
import { putSum } from '../crc32c.js';
import { BIGTIME_EPOCH, BIGTIME_MAX_SEC, encodeTime } from '../inode.js';
import type { MkfsJob } from '../mkfs/mkfs.js';
import { DIFLAG2, DINODE_BYTES, FORMAT, XfsDinode } from '../ondisk.js';
import { FTYPES } from '../ondisk-trees.js';
import { inlineAttrBytes, makeAttributes, putInlineAttrs, type AttrItem } from './attributes.js';
import type { ContentWriter } from './content.js';
import { putInline, type NewEntry } from './directory.js';
import type { InodeSlot } from './inode-stream.js';
import type { Space } from './space.js';

/** Least bytes of a data fork beside an attribute fork: a tree's root of three entries. */
const DATA_FORK_MIN = roundUp(4 + 3 * 16, 8);
/** Of an attribute fork: a root of two. */
const ATTR_FORK_MIN = 4 + 2 * 16;
/** Where the attribute fork begins when its attributes are in blocks. */
const ATTR_FORK_USUAL = roundUp(4 + 12 * 16, 8);
const DEVICE_FORK = 8;
const INT32 = 2 ** 31;
const ANEXTENTS_MAX = 2 ** 15 - 1;
const o = XfsDinode.offsets;

/** What an inode holds inside. */
export type InlineContent =
  | { readonly kind: 'directory'; readonly bytes: number; readonly parent: number; readonly entries: readonly NewEntry[] }
  | { readonly kind: 'target'; readonly bytes: number; readonly target: Uint8Array };

/** An inode to be written. Its blocks are the content writer's. */
export interface NewNode {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** As stored; of special files only. */
  readonly rdev: number | undefined;
  readonly mtime: Timespec;
  readonly atime: Timespec;
  readonly ctime: Timespec;
  readonly items: readonly AttrItem[];
  readonly inline: InlineContent | undefined;
}

/** The number of a type in directory entries. */
export const ftypeOf = (type: FileType): number => Math.max(0, FTYPES.findIndex((one) => one === type));

/** From makedev(3)'s form to 14 bits of major and 18 of minor. @throws FsError EINVAL beyond */
export function encodeDevice(rdev: number): number {
  const low = rdev % 2 ** 32;
  const high = Math.floor(rdev / 2 ** 32);
  const minor = (low % 256) + Math.floor(low / 2 ** 20) * 256;
  const major = (Math.floor(low / 256) % 2 ** 12) + Math.floor(high / 2 ** 12) * 2 ** 12;
  if (major >= 2 ** 14 || minor >= 2 ** 18 || high % 2 ** 12 !== 0) throw new FsError('EINVAL', { why: `no XFS has a device ${major}:${minor}` });
  return major * 2 ** 18 + minor;
}

/** The nearest time that the format can hold. */
function heldTime(time: Timespec, isBig: boolean): Timespec {
  const least = isBig ? -BIGTIME_EPOCH : -INT32;
  const most = isBig ? BIGTIME_MAX_SEC : INT32 - 1;
  if (time.sec < least) return { sec: least, nsec: 0 };
  return time.sec > most ? { sec: most, nsec: 0 } : time;
}

interface Division {
  /** Bytes of the data fork; 0: no other fork. */
  readonly forkoff: number;
  readonly attrsInline: boolean;
}

export class InodeWriter {
  readonly #job: MkfsJob;
  readonly #space: Space;
  readonly #content: ContentWriter;
  /** Bytes for both forks. */
  readonly #room: number;
  readonly #attrForkMost: number;

  constructor(job: MkfsJob, space: Space, content: ContentWriter) {
    this.#job = job;
    this.#space = space;
    this.#content = content;
    this.#room = job.plan.settings.inodeSize - DINODE_BYTES;
    this.#attrForkMost = this.#room - ATTR_FORK_MIN - ((this.#room - ATTR_FORK_MIN) % 8);
  }

  /** Can a directory or target of so many bytes lie inside an inode that has such attributes? */
  fitsInline(bytes: number, items: readonly AttrItem[]): boolean {
    if (items.length === 0) return bytes <= this.#room;
    const { forkoff, attrsInline } = this.#divide(bytes, items);
    if (forkoff < bytes) return false;
    // Attributes go in before what would else have to have a block of its own.
    return attrsInline || this.#divide(DATA_FORK_MIN, items).attrsInline === false;
  }

  /** Divides an inode between a data fork of `bytes` and attributes. A data fork that is too small for an array is a tree's root. */
  #divide(bytes: number, items: readonly AttrItem[]): Division {
    const inline = inlineAttrBytes(items);
    const least = Math.max(roundUp(bytes, 8), DATA_FORK_MIN);
    if (inline >= 0) {
      const offset = Math.min(this.#room - inline - ((this.#room - inline) % 8), this.#attrForkMost);
      if (offset >= least) return { forkoff: offset, attrsInline: true };
    }
    return { forkoff: Math.min(Math.max(least, ATTR_FORK_USUAL), this.#attrForkMost), attrsInline: false };
  }

  #divideFor(node: NewNode): Division {
    const { items, inline, rdev } = node;
    if (items.length === 0) return { forkoff: 0, attrsInline: true };
    if (rdev !== undefined) {
      const bytes = inlineAttrBytes(items);
      return { forkoff: DEVICE_FORK, attrsInline: bytes >= 0 && DEVICE_FORK + bytes <= this.#room };
    }
    if (inline !== undefined) return this.#divide(inline.bytes, items);
    const wanted = this.#divide(this.#content.data.bytes, items);
    // Mappings in a tree leave room for attributes.
    const narrow = this.#divide(DATA_FORK_MIN, items);
    return narrow.attrsInline && !wanted.attrsInline ? narrow : wanted;
  }

  /** Writes an inode into its slot; what of it is in blocks has been written but for attributes and trees of mappings. */
  *write(node: NewNode, slot: InodeSlot): Io<void> {
    const { view, at, bytes } = slot;
    const { identity, plan } = this.#job;
    const { data, attr } = this.#content;
    const owner = { uuid: identity.uuid, ino: node.ino };
    const { forkoff, attrsInline } = this.#divideFor(node);
    const start = at + DINODE_BYTES;
    const dataBytes = forkoff === 0 ? this.#room : forkoff;
    this.#putCore(node, slot);
    let format: number = FORMAT.DEV;
    if (node.rdev !== undefined) view.setUint32(start, node.rdev);
    else if (node.inline !== undefined) format = putContent(slot, start, node.inline);
    else format = yield* data.finish(this.#space, owner, { view, at: start, bytes: dataBytes }, false);
    view.setUint8(at + o.di_format, format);
    view.setUint8(at + o.di_aformat, FORMAT.EXTENTS);
    if (forkoff > 0) {
      view.setUint8(at + o.di_forkoff, forkoff / 8);
      if (attrsInline) {
        putInlineAttrs(bytes, start + forkoff, node.items);
        view.setUint8(at + o.di_aformat, FORMAT.LOCAL);
      } else {
        yield* this.#content.attributes(makeAttributes(node.items, plan.blockSize));
        const fork = { view, at: start + forkoff, bytes: this.#room - forkoff };
        view.setUint8(at + o.di_aformat, yield* attr.finish(this.#space, owner, fork, true));
      }
    }
    this.#putCounts(slot);
    putSum(bytes, at, at + plan.settings.inodeSize, o.di_crc);
  }

  #putCore(node: NewNode, { view, at }: InodeSlot): void {
    const { bigtime, nrext64 } = this.#job.plan.settings;
    view.setUint16(at + o.di_mode, node.mode);
    view.setUint32(at + o.di_uid, node.uid);
    view.setUint32(at + o.di_gid, node.gid);
    view.setUint32(at + o.di_nlink, node.nlink);
    view.setUint32(at + o.di_size, Math.floor(node.size / 2 ** 32));
    view.setUint32(at + o.di_size + 4, node.size % 2 ** 32);
    view.setUint32(at + o.di_changecount + 4, 1);
    view.setUint32(at + o.di_flags2 + 4, (bigtime ? DIFLAG2.BIGTIME : 0) + (nrext64 ? DIFLAG2.NREXT64 : 0));
    encodeTime(view, at + o.di_atime, heldTime(node.atime, bigtime), bigtime);
    encodeTime(view, at + o.di_mtime, heldTime(node.mtime, bigtime), bigtime);
    encodeTime(view, at + o.di_ctime, heldTime(node.ctime, bigtime), bigtime);
    encodeTime(view, at + o.di_crtime, heldTime(node.mtime, bigtime), bigtime);
  }

  /** @throws FsError ENOSPC for attributes in more pieces than can be counted */
  #putCounts({ view, at }: InodeSlot): void {
    const { data, attr } = this.#content;
    const blocks = data.blocks + attr.blocks;
    view.setUint32(at + o.di_nblocks, Math.floor(blocks / 2 ** 32));
    view.setUint32(at + o.di_nblocks + 4, blocks % 2 ** 32);
    if (this.#job.plan.settings.nrext64) {
      view.setUint32(at + o.di_big_nextents + 4, data.count);
      view.setUint32(at + o.di_nextents, attr.count);
      return;
    }
    if (attr.count > ANEXTENTS_MAX) throw new FsError('ENOSPC', { why: 'attributes in too many pieces' });
    view.setUint32(at + o.di_nextents, data.count);
    view.setUint16(at + o.di_anextents, attr.count);
  }
}

function putContent({ view, bytes }: InodeSlot, start: number, inline: InlineContent): number {
  if (inline.kind === 'directory') putInline(view, start, inline.parent, inline.entries);
  else bytes.set(inline.target, start);
  return FORMAT.LOCAL;
}
