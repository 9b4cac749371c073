/**
 * Blocks of a directory (and of an attribute fork) by their file block: found through the fork, read, verified, and their owner
 * compared. A directory block larger than a filesystem block may lie in pieces; then it is put together here, and a few are kept.
 */
import type { BufOps } from '@iomap/buffer-cache';
import { corrupt, FsError } from '@iomap/io';
import { mapFork, type Fork } from './fork.js';
import type { XfsInode } from './inode.js';
import { Da3BlkInfo, Dir3BlkHdr } from './ondisk-trees.js';
import { fsbToPos, isFsBlock } from './super.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** A block's bytes, all of it; alive while the cache holds its buffer. */
export interface DirBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Byte position of its first piece. */
  readonly pos: number;
}

const ASSEMBLED_MAX = 8;
const HOLE = Symbol('hole');

/** Answer of `needBlock`: a block, `undefined` = missing from the cache, or a hole in the fork. */
export type Needed = DirBlock | undefined | typeof HOLE;
export const isHole = (block: Needed): block is typeof HOLE => block === HOLE;

/** Which blocks of which fork. */
interface Wanted {
  readonly inode: XfsInode;
  readonly fork: Fork;
  readonly fileBlock: number;
  /** Filesystem blocks. */
  readonly count: number;
  readonly ops: BufOps;
}

/** @throws FsError EUCLEAN, EBADMSG */
function needBlock(vol: Volume, inode: XfsInode, fork: Fork, fileBlock: number, count: number, ops: BufOps): Needed {
  const { run } = vol;
  if (!mapFork(vol, inode.ino, fork, fileBlock, run)) return undefined;
  if (run.block < 0) return HOLE;
  if (run.count >= count) return vol.needFsb(run.block, ops, count);
  return assemble(vol, { inode, fork, fileBlock, count, ops });
}

function assemble(vol: Volume, { inode, fork, fileBlock, count, ops }: Wanted): Needed {
  const known = fork === inode.data ? inode.assembled?.get(fileBlock) : undefined;
  if (known !== undefined) return known;
  const { blockSize } = vol.info;
  const bytes = new Uint8Array(count * blockSize);
  const { run } = vol;
  let pos = 0;
  for (let i = 0; i < count; i++) {
    if (!mapFork(vol, inode.ino, fork, fileBlock + i, run)) return undefined;
    if (run.block < 0) throw corrupt('a directory block with a hole in it', { ino: inode.ino });
    const buf = vol.needFsb(run.block, vol.ops.part);
    if (buf === undefined) return undefined;
    bytes.set(buf.bytes, i * blockSize);
    if (i === 0) pos = buf.pos;
  }
  const block: DirBlock = { bytes, view: new DataView(bytes.buffer), pos };
  const fault = ops.verifyRead?.(block.view, block);
  if (fault !== undefined) {
    const detail = { ino: inode.ino, pos, field: fault.field };
    throw new FsError(fault.checksum === true ? 'EBADMSG' : 'EUCLEAN', { why: `${ops.name}: ${fault.why}`, detail });
  }
  const kept = (inode.assembled ??= new Map());
  if (kept.size >= ASSEMBLED_MAX) kept.delete(kept.keys().next().value ?? 0);
  kept.set(fileBlock, block);
  return block;
}

const owner64 = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

/** A block of directory data (or the one block of block form) by its number in the data segment. */
export function needDirData(vol: Volume, inode: XfsInode, index: number): Needed {
  const count = vol.info.dirBlockFsbs;
  const block = needBlock(vol, inode, inode.data, index * count, count, vol.ops.dirData);
  if (block !== undefined && !isHole(block) && vol.info.v5) {
    checkOwner(owner64(block.view, Dir3BlkHdr.offsets.owner), inode.ino, block.pos, vol.ops.dirData.name);
  }
  return block;
}

/** A leaf or tree block of the hash index of directory entries or attributes, by its file block. */
export function needTree(vol: Volume, inode: XfsInode, fork: Fork, fileBlock: number): Needed {
  const isAttr = fork === inode.attr;
  const ops = isAttr ? vol.ops.attrTree : vol.ops.dirTree;
  const count = isAttr ? 1 : vol.info.dirBlockFsbs;
  const block = needBlock(vol, inode, fork, fileBlock, count, ops);
  if (block !== undefined && !isHole(block) && vol.info.v5) {
    checkOwner(owner64(block.view, Da3BlkInfo.offsets.owner), inode.ino, block.pos, ops.name);
  }
  return block;
}

/**
 * Runs over the blocks that a fork maps from `fileBlock` on: where the next one is, Infinity = nowhere below `end`, -1 = missing.
 */
export function nextMapped(vol: Volume, inode: XfsInode, fork: Fork, fileBlock: number, end: number): number {
  const { run } = vol;
  for (let at = fileBlock; at < end; at += run.count) {
    if (!mapFork(vol, inode.ino, fork, at, run)) return -1;
    if (run.block >= 0) return at;
    if (run.count <= 0) throw corrupt('a fork that does not go on', { ino: inode.ino });
  }
  return Infinity;
}

/** A run of blocks with one head (a symlink), by its first block. */
export function needRun(vol: Volume, fsb: number, count: number, ops: BufOps): DirBlock | undefined {
  if (!isFsBlock(vol.info, fsb, count)) throw corrupt(`${ops.name}: no such block`, { block: fsb });
  return vol.need(fsbToPos(vol.info, fsb), count * vol.info.blockSize, ops);
}
