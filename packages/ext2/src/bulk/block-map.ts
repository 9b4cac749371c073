/**
 * The block map of the file that is being written, from its start to its end: `i_block`, and one open indirect block of each
 * level, given out when the first block below it comes.
 *
 * I1  Blocks come in ascending order; an indirect block is patched in when the next of its level is opened, or by `close`.
 */
import type { Io } from '@iomap/io';
import type { BlockWords } from '../inode.js';
import { DIND_BLOCK, IND_BLOCK, NDIR_BLOCKS, TIND_BLOCK } from '../ondisk.js';
import type { Stage } from './stage.js';

/** An indirect block that is being filled. */
interface Level {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where it is; 0 = none is open. */
  block: number;
  /** Which one of its level it is. */
  index: number;
}

function newLevel(blockSize: number): Level {
  const bytes = new Uint8Array(blockSize);
  return { bytes, view: new DataView(bytes.buffer), block: 0, index: -1 };
}

export class BlockMap {
  /** Blocks that the file has, indirect ones among them. */
  count = 0;
  /** `i_block` of the file. */
  readonly root: BlockWords;
  readonly #stage: Stage;
  readonly #perBlock: number;
  readonly #leaf: Level;
  readonly #double: Level;
  readonly #triple: Level;

  constructor(stage: Stage, blockSize: number, root: BlockWords) {
    this.#stage = stage;
    this.root = root;
    this.#perBlock = blockSize / 4;
    this.#leaf = newLevel(blockSize);
    this.#double = newLevel(blockSize);
    this.#triple = newLevel(blockSize);
  }

  /** Starts a new file. */
  open(): void {
    this.count = 0;
    this.root.fill(0);
  }

  /** How many blocks from `at` on need no other indirect block than that of `at`. */
  span(at: number): number {
    if (at < NDIR_BLOCKS) return NDIR_BLOCKS - at;
    return this.#perBlock - ((at - NDIR_BLOCKS) % this.#perBlock);
  }

  /** Does file block `at` need an indirect block that is not open? */
  needs(at: number): boolean {
    if (at < NDIR_BLOCKS) return false;
    return this.#leaf.block === 0 || this.#leaf.index !== Math.floor((at - NDIR_BLOCKS) / this.#perBlock);
  }

  /** Opens the indirect blocks above file block `at`. Waits on: room, blocks that are full. */
  *prepare(at: number): Io<void> {
    if (!this.needs(at)) return;
    const n = this.#perBlock;
    const index = Math.floor((at - NDIR_BLOCKS) / n);
    if (index === 0) {
      this.root[IND_BLOCK] = yield* this.#begin(this.#leaf, index);
      return;
    }
    const double = index <= n ? 0 : 1 + Math.floor((index - 1 - n) / n);
    if (this.#double.block === 0 || this.#double.index !== double) yield* this.#openDouble(double);
    const slot = double === 0 ? index - 1 : (index - 1 - n) % n;
    this.#double.view.setUint32(slot * 4, yield* this.#begin(this.#leaf, index), true);
  }

  *#openDouble(index: number): Io<void> {
    if (index === 0) {
      this.root[DIND_BLOCK] = yield* this.#begin(this.#double, index);
      return;
    }
    if (this.#triple.block === 0) this.root[TIND_BLOCK] = yield* this.#begin(this.#triple, 0);
    this.#triple.view.setUint32((index - 1) * 4, yield* this.#begin(this.#double, index), true);
  }

  /** Closes the level's open block and starts another. @returns where */
  *#begin(level: Level, index: number): Io<number> {
    if (level.block !== 0) yield* this.#stage.patch(level.block, level.bytes);
    level.bytes.fill(0);
    level.index = index;
    level.block = yield* this.#stage.one();
    this.count++;
    return level.block;
  }

  /** Maps `count` file blocks from `at` to blocks from `first`; all below one indirect block that is open. */
  set(at: number, first: number, count: number): void {
    this.count += count;
    if (at < NDIR_BLOCKS) {
      // Up to the twelfth here, the rest below the first indirect block.
      const direct = Math.min(count, NDIR_BLOCKS - at);
      for (let i = 0; i < direct; i++) this.root[at + i] = first + i;
      if (direct < count) this.#fill(0, first + direct, count - direct);
      return;
    }
    this.#fill((at - NDIR_BLOCKS) % this.#perBlock, first, count);
  }

  #fill(slot: number, first: number, count: number): void {
    const { view } = this.#leaf;
    for (let i = 0; i < count; i++) view.setUint32((slot + i) * 4, first + i, true);
  }

  /** Ends the file. */
  *close(): Io<void> {
    for (const level of [this.#leaf, this.#double, this.#triple]) {
      if (level.block === 0) continue;
      yield* this.#stage.patch(level.block, level.bytes);
      level.block = 0;
      level.index = -1;
    }
  }
}
