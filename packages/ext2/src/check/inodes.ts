/**
 * Pass 1: every inode of every table, in big sequential reads, whatever the bitmaps say.
 *
 * An inode above the reserved ones is in use when it has links. For each: mode and flags, its blocks, its size against
 * them, symlink content, attributes.
 */
import type { Io } from '@iomap/io';

import {
  APPEND_FL,
  BAD_INO,
  COMPAT,
  EXTENTS_FL,
  Ext2InodeLarge,
  fileTypeOfMode,
  FT_DIR,
  FT_REG_FILE,
  FT_SYMLINK,
  FT_UNKNOWN,
  IMMUTABLE_FL,
  INDEX_FL,
  INLINE_DATA_FL,
  JOURNAL_INO,
  RESIZE_INO,
  RO_COMPAT,
  ROOT_INO,
  SLOW_SYMLINK_BYTES,
} from '../ondisk.js';
import { BlockMapWalker, type BlockWalk } from './block-map.js';
import { KIND_BAD, KIND_USED, type CheckState, type GroupInodes } from './state.js';
import { checkXattrBlock, checkXattrInode } from './xattrs.js';

const o = Ext2InodeLarge.offsets;
const CHUNK_BYTES = 2 ** 20;
const TWO32 = 2 ** 32;
const ENCRYPT_FL = 0x800;
const VERITY_FL = 0x100000;
const CASEFOLD_FL = 0x40000000;
const LARGE_FILE_BYTES = 2 ** 31;
/** Reserved inodes whose size says nothing while they are not in use: bad blocks, both quotas, the journal. */
const SIZE_UNTOLD: readonly number[] = [BAD_INO, 3, 4, JOURNAL_INO];

interface InodeAt {
  readonly ino: number;
  readonly data: DataView;
  readonly bytes: Uint8Array;
  /** Of the inode in `data`. */
  readonly at: number;
  readonly mode: number;
  readonly type: number;
}

export class InodePass {
  readonly #state: CheckState;
  readonly #walker: BlockMapWalker;
  /** Shared xattr blocks: what the block says, and how many inodes use it. */
  readonly #xattrs = new Map<number, { readonly stored: number; found: number }>();
  readonly #scratch: Uint8Array;

  constructor(state: CheckState) {
    this.#state = state;
    this.#walker = new BlockMapWalker(state);
    this.#scratch = new Uint8Array(state.geometry.blockSize);
  }

  *run(): Io<void> {
    const { geometry, groups, findings } = this.#state;
    const { blockSize, inodeTableBlocks } = geometry;
    const chunkBlocks = Math.max(1, Math.min(inodeTableBlocks, Math.floor(CHUNK_BYTES / blockSize)));
    const chunk = new Uint8Array(chunkBlocks * blockSize);
    for (let group = 0; group < geometry.groupCount; group++) {
      if (groups.sane[group] !== 1) continue;
      for (let block = 0; block < inodeTableBlocks; block += chunkBlocks) {
        const bytes = chunk.subarray(0, Math.min(chunkBlocks, inodeTableBlocks - block) * blockSize);
        yield* this.#state.readBlocks((groups.inodeTable[group] ?? 0) + block, bytes);
        yield* this.#scan(group, block * geometry.inodesPerBlock, bytes);
      }
    }
    for (const [block, { stored, found }] of this.#xattrs) {
      if (stored !== found) {
        findings.error('xattr', 'xattr-refcount', `the reference count is ${stored}, ${found} inodes use it`, {
          block,
        });
      }
    }
    const { largeFiles } = this.#state;
    if (largeFiles > 0 && (geometry.roCompat & RO_COMPAT.large_file) === 0) {
      findings.error('superblock', 'large-file-missing', `${largeFiles} large files without the feature large_file`);
    }
  }

  *#scan(group: number, first: number, bytes: Uint8Array): Io<void> {
    const { inodeSize, inodesPerGroup, firstIno } = this.#state.geometry;
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = Math.min(bytes.length / inodeSize, inodesPerGroup - first);
    let facts: GroupInodes | undefined;
    for (let i = 0; i < count; i++) {
      const at = i * inodeSize;
      const mode = data.getUint16(at + o.i_mode, true);
      const links = data.getUint16(at + o.i_links_count, true);
      const ino = group * inodesPerGroup + first + i + 1;
      if (links === 0 && (ino >= firstIno || (mode === 0 && ino !== ROOT_INO))) {
        if (mode !== 0 && data.getUint32(at + o.i_dtime, true) === 0) {
          this.#state.findings.error('inode', 'zero-dtime', 'a deleted inode without a deletion time', { ino });
        }
        if (ino >= firstIno) continue;
      }
      facts ??= this.#state.inodes(group);
      const type = fileTypeOfMode(mode);
      facts.kind[first + i] = KIND_USED | type;
      facts.linksStored[first + i] = links;
      const bad = yield* this.#check({ ino, data, bytes, at, mode, type });
      if (bad) facts.kind[first + i] = KIND_USED | KIND_BAD | type;
    }
  }

  /** True when the inode is not what its mode says. */
  *#check(inode: InodeAt): Io<boolean> {
    const { ino, data, at, type, mode } = inode;
    const { stats, geometry, findings } = this.#state;
    if (ino < geometry.firstIno && ino !== ROOT_INO) {
      this.#checkReserved(inode);
      if (ino === RESIZE_INO && (geometry.compat & COMPAT.resize_inode) !== 0) {
        this.#checkFields(inode); // its blocks are groups.ts's
        return false;
      }
      if (mode !== 0 && type !== FT_REG_FILE && ino !== BAD_INO)
        findings.error('inode', 'reserved-mode', `a reserved inode has mode ${mode.toString(8)}`, { ino });
    } else {
      stats.inodesUsed++;
      if (data.getUint32(at + o.i_dtime, true) !== 0)
        findings.error('inode', 'dtime-in-use', 'in use, but has a deletion time', { ino });
      if (ino === ROOT_INO && type !== FT_DIR)
        findings.error('inode', 'root-not-directory', 'the root inode is not a directory', { ino });
    }
    let bad = false;
    this.#checkFields(inode);
    this.#checkInodeXattrs(inode);
    const acl = data.getUint32(at + o.i_file_acl, true);
    const xattrBlocks = acl === 0 ? 0 : yield* this.#checkXattrBlock(ino, acl);
    const mapped = yield* this.#checkContent(inode, xattrBlocks);
    if (mapped.bad) {
      findings.error('inode', 'bad-content', mapped.bad, { ino });
      bad = true;
    }
    const stored = data.getUint32(at + o.i_blocks, true);
    const right = (mapped.blocks + xattrBlocks) * (geometry.blockSize / 512);
    if (!mapped.cut && stored !== right)
      findings.error('inode', 'i-blocks', `i_blocks is ${stored}, not ${right}`, { ino });
    return bad;
  }

  /** What must be right in a reserved inode, used or not. */
  #checkReserved({ ino, data, at }: InodeAt): void {
    const { findings, geometry } = this.#state;
    const dtime = data.getUint32(at + o.i_dtime, true);
    if (dtime !== 0 && dtime < geometry.inodesCount && this.#state.orphanTimesTell) {
      findings.error('inode', 'orphan-dtime', 'its deletion time is a link of the orphan list', { ino });
    }
    if (SIZE_UNTOLD.includes(ino)) return;
    const size = data.getUint32(at + o.i_size, true) + data.getUint32(at + o.i_size_high, true) * TWO32;
    if (size > this.#sizeMax()) findings.error('inode', 'size-too-large', `a file of ${size} bytes`, { ino });
  }

  /** Bytes that a file's trees can map. */
  #sizeMax(): number {
    const { addrPerBlock: n, blockSize } = this.#state.geometry;
    return (12 + n + n * n + n * n * n) * blockSize;
  }

  #checkFields({ ino, data, at, type }: InodeAt): void {
    const { findings, geometry } = this.#state;
    const error = (code: string, message: string): void => findings.error('inode', code, message, { ino });
    const flags = data.getUint32(at + o.i_flags, true);
    if ((flags & INDEX_FL) !== 0 && (type !== FT_DIR || (geometry.compat & COMPAT.dir_index) === 0)) {
      error('index-flag', 'has the index flag');
    }
    if ((flags & (EXTENTS_FL | INLINE_DATA_FL)) !== 0)
      error('foreign-flag', 'has extents or inline data, without the feature');
    if ((flags & (VERITY_FL | CASEFOLD_FL)) !== 0) error('foreign-flag', 'has verity or casefold, without the feature');
    if ((flags & ENCRYPT_FL) !== 0) findings.warning('inode', 'encrypt-flag', 'is marked as encrypted', { ino });
    const high = data.getUint32(at + o.i_size_high, true);
    if (type === FT_DIR && high !== 0) error('dir-size-high', 'a directory of over 4 GiB');
    if (data.getUint32(at + o.i_faddr, true) !== 0) error('faddr', 'has a fragment address');
    if (data.getUint16(at + o.l_i_blocks_hi, true) !== 0) error('blocks-high', 'i_blocks is over 32 bits');
    if (data.getUint16(at + o.l_i_file_acl_high, true) !== 0)
      error('file-acl-high', 'the attribute block is over 32 bits');
  }

  #checkInodeXattrs({ ino, data, bytes, at }: InodeAt): void {
    const { geometry, findings } = this.#state;
    const room = geometry.inodeSize - 128;
    if (room === 0) return;
    const extra = data.getUint16(at + o.i_extra_isize, true);
    if (extra > room || extra % 4 !== 0) {
      findings.error('inode', 'extra-isize', `i_extra_isize is ${extra}`, { ino });
    } else if (extra > 0 && extra < room && data.getUint32(at + 128 + extra, true) !== 0) {
      const fault = checkXattrInode(bytes.subarray(at + 128 + extra, at + geometry.inodeSize));
      if (fault !== undefined) findings.error('xattr', 'xattr-inode', fault, { ino });
    }
  }

  /** Blocks that the attributes take (0 or 1). */
  *#checkXattrBlock(ino: number, block: number): Io<number> {
    const { geometry, findings } = this.#state;
    if ((geometry.compat & COMPAT.ext_attr) === 0 || !this.#state.inRange(block)) {
      findings.error('xattr', 'xattr-place', `the attribute block is ${block}`, { ino });
      return 0;
    }
    const known = this.#xattrs.get(block);
    if (known !== undefined) {
      known.found++;
      return 1;
    }
    if (!this.#state.claim(block)) {
      findings.error('xattr', 'block-claimed-twice', 'the attribute block is in use otherwise', { ino, block });
      return 1;
    }
    this.#state.stats.xattrBlocks++;
    yield* this.#state.readBlocks(block, this.#scratch);
    const fault = checkXattrBlock(this.#scratch);
    if (fault !== undefined) findings.error('xattr', 'xattr-block', fault, { ino, block });
    const stored = new DataView(this.#scratch.buffer, this.#scratch.byteOffset).getUint32(4, true);
    if (fault === undefined) this.#xattrs.set(block, { stored, found: 1 });
    return 1;
  }

  *#checkContent(inode: InodeAt, xattrBlocks: number): Io<{ blocks: number; cut: boolean; bad: string | false }> {
    const { ino, data, at, type, mode } = inode;
    const { stats, geometry } = this.#state;
    const none = { blocks: 0, cut: false, bad: false as string | false };
    const size = data.getUint32(at + o.i_size, true);
    const fastLink =
      type === FT_SYMLINK && data.getUint32(at + o.i_blocks, true) === xattrBlocks * (geometry.blockSize / 512);
    if (fastLink) {
      stats.symlinks++;
      return { ...none, bad: this.#checkFastLink(inode, size) };
    }
    const isData = type === FT_REG_FILE || type === FT_DIR || type === FT_SYMLINK || ino < geometry.firstIno;
    if (!isData) {
      stats.special++;
      return { ...none, bad: this.#checkSpecial(inode, size) };
    }
    const walk = this.#walker.walkDirect(data, at + o.i_block, ino, type === FT_DIR);
    if (this.#walker.hasIndirect(data, at + o.i_block)) yield* this.#walker.walkIndirect(walk, data, at + o.i_block);
    let bad: string | false = false;
    if (type === FT_DIR) this.#addDirectory(inode, size, walk);
    else if (type === FT_SYMLINK) bad = yield* this.#checkSlowLink(inode, size, walk);
    else if (mode !== 0) this.#checkFileSize(inode, size, walk);
    return { blocks: walk.blocks, cut: walk.cut, bad };
  }

  #checkFastLink({ data, bytes, at }: InodeAt, size: number): string | false {
    if (data.getUint32(at + o.i_size_high, true) !== 0 || size === 0) return `a symlink of ${size} bytes`;
    const nul = bytes.subarray(at + o.i_block, at + o.i_block + SLOW_SYMLINK_BYTES).indexOf(0);
    if (nul !== size) return `a symlink of ${size} bytes whose target has ${nul < 0 ? 'no end' : nul}`;
    return (data.getUint32(at + o.i_flags, true) & INDEX_FL) !== 0 ? 'a symlink with the index flag' : false;
  }

  *#checkSlowLink({ data, at }: InodeAt, size: number, walk: BlockWalk): Io<string | false> {
    this.#state.stats.symlinks++;
    const { blockSize } = this.#state.geometry;
    if (walk.cut) return false;
    if (size === 0 || size >= blockSize || data.getUint32(at + o.i_size_high, true) !== 0)
      return `a symlink of ${size} bytes`;
    const block = data.getUint32(at + o.i_block, true);
    if (walk.blocks !== 1 || walk.last !== 0) return `a symlink with ${walk.blocks} blocks`;
    yield* this.#state.readBlocks(block, this.#scratch);
    return this.#scratch.indexOf(0) === size ? false : `the symlink's target is not ${size} bytes long`;
  }

  #checkSpecial({ ino, data, at, type }: InodeAt, size: number): string | false {
    const { findings } = this.#state;
    if (type === FT_UNKNOWN) return 'the mode has no known type';
    const flags = data.getUint32(at + o.i_flags, true);
    if ((flags & (IMMUTABLE_FL | APPEND_FL)) !== 0)
      findings.error('inode', 'special-flags', 'a special file is immutable or append-only', { ino });
    const whole = size + data.getUint32(at + o.i_size_high, true) * TWO32;
    if (whole !== 0) findings.error('inode', 'special-size', `a special file of ${whole} bytes`, { ino });
    return false;
  }

  #checkFileSize({ ino, data, at }: InodeAt, low: number, walk: BlockWalk): void {
    const { findings, geometry, stats } = this.#state;
    stats.files++;
    const size = low + data.getUint32(at + o.i_size_high, true) * TWO32;
    if (size >= LARGE_FILE_BYTES) this.#state.largeFiles++;
    if (size > this.#sizeMax()) findings.error('inode', 'size-too-large', `a file of ${size} bytes`, { ino });
    if (!walk.cut && walk.last >= 0 && size < walk.last * geometry.blockSize) {
      findings.error('inode', 'size-too-small', `${size} bytes, with block ${walk.last} mapped`, { ino });
    }
  }

  #addDirectory({ ino, data, at }: InodeAt, size: number, walk: BlockWalk): void {
    const { findings, geometry, stats, dirs, dirsInGroup, superView } = this.#state;
    stats.directories++;
    const group = Math.floor((ino - 1) / geometry.inodesPerGroup);
    dirsInGroup.set(group, (dirsInGroup.get(group) ?? 0) + 1);
    const blocks = size / geometry.blockSize;
    const error = (code: string, message: string): void => findings.error('directory', code, message, { ino });
    if (walk.last < 0) error('dir-empty', 'a directory without blocks');
    else if (!Number.isInteger(blocks)) error('dir-size', `a directory of ${size} bytes`);
    else if (!walk.cut && (blocks > walk.last + 1 || walk.last + 1 - blocks > superView.s_prealloc_dir_blocks)) {
      error('dir-size', `a directory of ${size} bytes with ${walk.last + 1} blocks`);
    }
    const indexed = (data.getUint32(at + o.i_flags, true) & INDEX_FL) !== 0;
    dirs.set(ino, { ino, size, indexed, blocks: walk.pairs ?? [], parent: 0, dotdot: 0, name: '' });
  }
}
