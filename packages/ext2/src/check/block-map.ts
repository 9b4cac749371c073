/**
 * A file's blocks: walks direct pointers and indirect trees, claims every block, counts.
 *
 * An indirect block that somebody holds already is not walked again (I1): so each is walked once in a whole check,
 * whatever
 * loops and shared trees an image has, and the work is bounded by the size of the device.
 */
import type { Io } from '@iomap/io';

import { NDIR_BLOCKS } from '../ondisk.js';
import type { CheckState } from './state.js';

export interface BlockWalk {
  readonly ino: number;
  /** Blocks met, indirect ones included. */
  blocks: number;
  /** Highest block of the file that is mapped; -1 = none. */
  last: number;
  /** A part was not walked, so counts say nothing. */
  cut: boolean;
  /** Pairs (block in the file, block on the device), for directories. */
  readonly pairs: number[] | undefined;
}

const PLACE_NAMES = ['', 'indirect', 'double-indirect', 'triple-indirect'];

/** A pointer to data. */
function visitData(state: CheckState, walk: BlockWalk, logical: number, block: number): void {
  if (!state.inRange(block)) {
    state.findings.error('block-map', 'illegal-block', `block ${logical} of the file is ${block}`, { ino: walk.ino });
    walk.cut = true;
    return;
  }
  walk.blocks++;
  walk.last = logical;
  if (!state.claim(block)) {
    const what = state.isMetadata(block) ? 'is filesystem metadata' : 'is claimed twice';
    state.findings.error('block-map', 'block-claimed-twice', `block ${logical} of the file ${what}`, {
      ino: walk.ino,
      block,
    });
  }
  walk.pairs?.push(logical, block);
}

/** One buffer per depth: a walk needs no more than three indirect blocks at once. */
export class BlockMapWalker {
  readonly #state: CheckState;
  readonly #blocks: Uint8Array[];

  constructor(state: CheckState) {
    this.#state = state;
    this.#blocks = [0, 1, 2, 3].map(() => new Uint8Array(state.geometry.blockSize));
  }

  /** True when the slots at `at` have an indirect block, so that `walkIndirect` has work. */
  hasIndirect(data: DataView, at: number): boolean {
    for (let slot = NDIR_BLOCKS; slot < NDIR_BLOCKS + 3; slot++)
      if (data.getUint32(at + slot * 4, true) !== 0) return true;
    return false;
  }

  /**
   * Walks the twelve direct slots at `at` in `data`. Plain: most files have no more.
   * @param pairs true for a directory: its blocks are wanted
   */
  walkDirect(data: DataView, at: number, ino: number, pairs: boolean): BlockWalk {
    const walk: BlockWalk = { ino, blocks: 0, last: -1, cut: false, pairs: pairs ? [] : undefined };
    for (let slot = 0; slot < NDIR_BLOCKS; slot++) {
      const block = data.getUint32(at + slot * 4, true);
      if (block !== 0) visitData(this.#state, walk, slot, block);
    }
    return walk;
  }

  /** Goes on with the three indirect slots. */
  *walkIndirect(walk: BlockWalk, data: DataView, at: number): Io<void> {
    const n = this.#state.geometry.addrPerBlock;
    let base = NDIR_BLOCKS;
    for (let level = 1; level <= 3; level++) {
      const block = data.getUint32(at + (NDIR_BLOCKS + level - 1) * 4, true);
      if (block !== 0) yield* this.#visitIndirect(walk, base, block, level);
      base += n ** level;
    }
  }

  *#visitIndirect(walk: BlockWalk, base: number, block: number, level: number): Io<void> {
    const state = this.#state;
    const bytes = this.#blocks[level];
    if (bytes === undefined) return;
    if (!state.inRange(block)) {
      state.findings.error('block-map', 'illegal-indirect', `${PLACE_NAMES[level]} block is ${block}`, {
        ino: walk.ino,
      });
      walk.cut = true;
      return;
    }
    walk.blocks++;
    state.stats.indirectBlocks++;
    if (!state.claim(block)) {
      const message = `the ${PLACE_NAMES[level]} block is in use otherwise`;
      state.findings.error('block-map', 'indirect-claimed-twice', message, { ino: walk.ino, block });
      walk.cut = true;
      return;
    }
    yield* state.readBlocks(block, bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const n = state.geometry.addrPerBlock;
    if (level === 1) {
      for (let i = 0; i < n; i++) {
        const data = view.getUint32(i * 4, true);
        if (data !== 0) visitData(state, walk, base + i, data);
      }
      return;
    }
    const span = n ** (level - 1);
    for (let i = 0; i < n; i++) {
      const next = view.getUint32(i * 4, true);
      if (next !== 0) yield* this.#visitIndirect(walk, base + i * span, next, level - 1);
    }
  }
}
