/** How large an image has to be that holds a tree: what its inodes, directories, attributes and files take, and the format itself. */
import { divCeil, FsError, isCode, roundUp } from '@iomap/io';
import type { BulkNode } from '@iomap/vfs';
import { INODES_USED } from '../mkfs/group.js';
import { parseMkfsOptions, type MkfsOptions } from '../mkfs/options.js';
import { planXfs, type MkfsPlan } from '../mkfs/plan.js';
import { DINODE_BYTES } from '../ondisk.js';
import { SymlinkRemote } from '../ondisk-trees.js';
import { attrBlocks, inlineAttrBytes, storeAttributes, type AttrItem } from './attributes.js';
import { DirectoryWriter, inlineBytes } from './directory.js';
import { treeShape } from './load-tree.js';
import { planRooms, roomBlocks } from './space.js';

const MIB = 2 ** 20;
const STEP_BYTES = 64 * 1024;
const TRIES_MAX = 400;
/** Pieces that a file with holes is in, where nobody knows. */
const PIECES_USUAL = 16;
/** Beside inline attributes a directory or target may have to leave the inode: counted as if it did. */
const NARROW_BYTES = 52;

export interface SizeOptions<N> {
  /** As if no file had holes, and with a little more room: after a first try ran out of space. */
  readonly generous?: boolean;
  /** Pieces of data that a file with holes is in, where that is known. */
  readonly pieces?: (node: N) => number | undefined;
}

interface Sizes {
  readonly plan: MkfsPlan;
  readonly inodeRoom: number;
}

function fileBlocks<N extends BulkNode<N>>(node: N, { plan }: Sizes, options: SizeOptions<N>): number {
  const { blockSize } = plan;
  const whole = divCeil(node.size, blockSize);
  if (node.dataBytes >= node.size) return whole;
  // A piece of data may begin and end inside a block.
  const pieces = options.pieces?.(node);
  const data = options.generous === true ? whole : Math.min(whole, divCeil(node.dataBytes, blockSize) + 2 * (pieces ?? PIECES_USUAL));
  // Mappings beyond what the inode holds are in a tree; at worst every block is one.
  const mappings = Math.min(pieces ?? data, data);
  return data + (mappings <= 4 ? 0 : 1 + divCeil(mappings, treeShape('bmap', blockSize).leafMax / 2));
}

function attributesOf<N extends BulkNode<N>>(node: N): readonly AttrItem[] {
  if (node.xattrs === undefined || node.xattrs.size === 0) return [];
  return storeAttributes({ mode: node.mode, isDirectory: node.type === 'directory' }, node.xattrs, () => undefined).items;
}

function nodeBlocks<N extends BulkNode<N>>(node: N, sizes: Sizes, options: SizeOptions<N>): number {
  const { plan, inodeRoom } = sizes;
  const items = attributesOf(node);
  const inline = inlineAttrBytes(items);
  const attrsInline = items.length === 0 || (inline >= 0 && inline + NARROW_BYTES + 8 <= inodeRoom);
  let blocks = attrsInline ? 0 : attrBlocks(items, plan.blockSize);
  const room = items.length === 0 ? inodeRoom : attrsInline ? inodeRoom - inline - 8 : NARROW_BYTES;
  if (node.type === 'file') blocks += fileBlocks(node, sizes, options);
  else if (node.type === 'symlink') {
    const length = node.target?.length ?? 0;
    if (length > room) blocks += divCeil(length, plan.blockSize - SymlinkRemote.size);
  } else if (node.type === 'directory') {
    // Numbers of inodes beyond 32 bits take more room inside; none are counted here, since images that are made to fit are small.
    const bytes = inlineBytes(0, node.entries.map(({ name }) => ({ name, ino: 0, ftype: 0 })), plan.dirBlockSize);
    if (bytes < 0 || bytes > room) {
      const lengths = node.entries.map(({ name }) => name.length);
      blocks += DirectoryWriter.count(lengths, plan.dirBlockSize).all * (plan.dirBlockSize / plan.blockSize);
    }
  }
  return blocks;
}

interface Needs {
  readonly blocks: number;
  readonly inodes: number;
}

function needsOf<N extends BulkNode<N>>(root: N, sizes: Sizes, options: SizeOptions<N>): Needs {
  const seen = new Set<N>();
  const stack: N[] = [root];
  let blocks = 0;
  let inodes = INODES_USED - 1;
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    inodes++;
    blocks += nodeBlocks(node, sizes, options);
    for (const { inode } of node.entries) {
      // Only what is no directory may have more than one name.
      if (inode.type !== 'directory') {
        if (seen.has(inode)) continue;
        seen.add(inode);
      }
      stack.push(inode);
    }
  }
  return { blocks: options.generous === true ? blocks + 64 + Math.ceil(blocks * 0.05) : blocks, inodes };
}

/** A plan for a size; undefined when that is too small. */
function tryPlan(settings: ReturnType<typeof parseMkfsOptions>, sizeBytes: number, deviceSector: number): MkfsPlan | undefined {
  try {
    return planXfs(settings, sizeBytes, deviceSector);
  } catch (error) {
    const field = error instanceof FsError ? error.detail.field : undefined;
    if (isCode(error, 'ENOSPC') || field === 'agCount' || field === 'logSize') return undefined;
    throw error;
  }
}

function lacks(plan: MkfsPlan, { blocks, inodes }: Needs): number {
  try {
    // At each end of a group a directory block may find no place.
    const waste = plan.agCount * (plan.dirBlockSize / plan.blockSize);
    return blocks + waste - roomBlocks(planRooms(plan, inodes));
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
    return divCeil(inodes, plan.inodesPerBlock);
  }
}

/**
 * The bytes of an image that holds a tree.
 * @throws FsError EINVAL bad options; ENOSPC when no size will do
 */
export function bulkSize<N extends BulkNode<N>>(root: N, format: MkfsOptions, options: SizeOptions<N> = {}): number {
  const settings = parseMkfsOptions(format);
  let needs: Needs | undefined;
  let sizeBytes = Math.max(16 * MIB, (settings.agCount ?? 1) * 16 * MIB);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const plan = tryPlan(settings, sizeBytes, 512);
    if (plan === undefined) {
      sizeBytes += 2 * MIB;
      continue;
    }
    needs ??= needsOf(root, { plan, inodeRoom: settings.inodeSize - DINODE_BYTES }, options);
    const missing = lacks(plan, needs);
    if (missing <= 0) return roundUp(plan.dblocks * plan.blockSize, 4096);
    sizeBytes = roundUp(sizeBytes + missing * plan.blockSize, STEP_BYTES);
  }
  throw new FsError('ENOSPC', { why: 'no size that would do was found' });
}
