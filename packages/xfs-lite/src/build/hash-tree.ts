/**
 * The hash tree above leaves of directories and attributes, made at once: its blocks with all but what depends on where they are.
 *
 * The root lies at the first block of its segment, leaves and nodes behind it; a single leaf is the root itself.
 */
import { divCeil } from '@iomap/io';
import { Da3BlkInfo, DA_MAGIC, DA_NODE } from '../ondisk-trees.js';

const ENTRIES = DA_NODE.entries[1];

/** A block of a fork that is yet to get its place, and with it address, owner and sum. */
export interface NewBlock {
  /** In file blocks. */
  readonly fileBlock: number;
  readonly bytes: Uint8Array;
  readonly kind: 'data' | 'tree';
}

/** A leaf that is made: its last hash. */
export interface NewLeaf {
  readonly bytes: Uint8Array;
  readonly hash: number;
}

/** Shares `count` entries evenly among as few blocks as hold `max` each. @returns where each block's entries start, and their end */
export function shares(count: number, max: number): number[] {
  const blocks = Math.max(1, divCeil(count, max));
  return Array.from({ length: blocks + 1 }, (_, i) => Math.floor((count * i) / blocks));
}

/** Sets the links between the blocks of a level. */
function link(views: readonly DataView[], at: (index: number) => number): void {
  views.forEach((view, i) => {
    view.setUint32(Da3BlkInfo.offsets.forw, i + 1 < views.length ? at(i + 1) : 0);
    view.setUint32(Da3BlkInfo.offsets.back, i > 0 ? at(i - 1) : 0);
  });
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * Puts nodes above leaves.
 * @param first file block of the segment; each block takes `step` file blocks
 * @returns all blocks, by their place in the file
 */
export function growTree(leaves: readonly NewLeaf[], first: number, step: number): NewBlock[] {
  if (leaves.length === 1) return leaves.map(({ bytes }) => ({ fileBlock: first, bytes, kind: 'tree' }));
  const blockBytes = leaves[0]?.bytes.length ?? 0;
  const max = Math.floor((blockBytes - ENTRIES) / 8);
  const made: NewBlock[] = [];
  let next = 1;
  let below = leaves;
  for (let level = 1; below.length > 1 || level === 1; level++) {
    const base = next;
    const place = (index: number): number => first + (base + index) * step;
    link(below.map(({ bytes }) => viewOf(bytes)), place);
    below.forEach(({ bytes }, i) => made.push({ fileBlock: place(i), bytes, kind: 'tree' }));
    next += below.length;
    const starts = shares(below.length, max);
    const nodes: NewLeaf[] = [];
    for (let node = 0; node + 1 < starts.length; node++) {
      const [from = 0, to = 0] = starts.slice(node, node + 2);
      const bytes = new Uint8Array(blockBytes);
      const view = viewOf(bytes);
      view.setUint16(Da3BlkInfo.offsets.magic, DA_MAGIC.node[1]);
      view.setUint16(DA_NODE.count[1], to - from);
      view.setUint16(DA_NODE.level[1], level);
      for (let i = from; i < to; i++) {
        view.setUint32(ENTRIES + (i - from) * 8, below[i]?.hash ?? 0);
        view.setUint32(ENTRIES + (i - from) * 8 + 4, place(i));
      }
      nodes.push({ bytes, hash: below[to - 1]?.hash ?? 0 });
    }
    below = nodes;
  }
  const root = below[0];
  if (root !== undefined) made.unshift({ fileBlock: first, bytes: root.bytes, kind: 'tree' });
  return made;
}
