/**
 * Finds the folio of a position: chunks of 2 MiB, each an array of slots as fine as its smallest folio.
 *
 * - A look-up is a chunk (the last one used, or a Map) and one array access, whatever the sizes of the folios.
 * - A folio fills all slots that it covers; a file of one small folio costs one chunk with an array of one slot.
 * - Dirty folios are counted per chunk, and chunks with any are in a set: a search for dirty folios skips the others.
 */
import type { Folio } from './folio.js';

export const CHUNK_BYTES = 2 * 1024 * 1024;

export interface Chunk {
  readonly index: number;
  /** log2 of the bytes per slot. */
  shift: number;
  slots: (Folio | undefined)[];
  count: number;
  dirty: number;
}

export class FolioIndex {
  folioCount = 0;
  #last: Chunk | undefined;
  /** The only chunk, or undefined once there is (or was) more than one. */
  #single: Chunk | undefined;
  #chunks: Map<number, Chunk> | undefined;
  #dirtyChunks: Set<Chunk> | undefined;

  /** The folio that holds byte `pos`. */
  lookup(pos: number): Folio | undefined {
    const index = Math.floor(pos / CHUNK_BYTES);
    let chunk = this.#last;
    if (chunk === undefined || chunk.index !== index) {
      chunk = this.#find(index);
      if (chunk === undefined) return undefined;
      this.#last = chunk;
    }
    const slot = (pos - index * CHUNK_BYTES) >>> chunk.shift;
    const { slots } = chunk;
    return slot < slots.length ? slots[slot] : undefined;
  }

  insert(folio: Folio): void {
    const index = Math.floor(folio.pos / CHUNK_BYTES);
    const shift = 31 - Math.clz32(folio.size);
    const chunk = this.#find(index) ?? this.#addChunk(index, shift);
    if (shift < chunk.shift) refine(chunk, shift);
    const { slots } = chunk;
    const first = (folio.pos - index * CHUNK_BYTES) >>> chunk.shift;
    const end = first + folio.size / 2 ** chunk.shift;
    while (slots.length < end) slots.push(undefined);
    for (let at = first; at < end; at++) slots[at] = folio;
    chunk.count++;
    this.folioCount++;
    this.#last = chunk;
  }

  /** Takes out a clean folio. */
  remove(folio: Folio): void {
    const index = Math.floor(folio.pos / CHUNK_BYTES);
    const chunk = this.#find(index);
    if (chunk === undefined) return;
    const first = (folio.pos - index * CHUNK_BYTES) >>> chunk.shift;
    const end = first + folio.size / 2 ** chunk.shift;
    for (let at = first; at < end; at++) chunk.slots[at] = undefined;
    this.folioCount--;
    if (--chunk.count > 0) return;
    if (this.#last === chunk) this.#last = undefined;
    if (this.#single === chunk) this.#single = undefined;
    else this.#chunks?.delete(index);
  }

  /** One folio of the chunk at `folio` became dirty (+1) or clean (-1). */
  countDirty(folio: Folio, change: 1 | -1): void {
    const chunk = this.#find(Math.floor(folio.pos / CHUNK_BYTES));
    if (chunk === undefined) return;
    chunk.dirty += change;
    if (chunk.dirty === 0) this.#dirtyChunks?.delete(chunk);
    else if (chunk.dirty === 1 && change === 1) (this.#dirtyChunks ??= new Set()).add(chunk);
  }

  /** The first folio that overlaps [pos, end). */
  next(pos: number, end: number): Folio | undefined {
    return this.#search(pos, end, false);
  }

  /** The first dirty folio that overlaps [pos, end). Chunks without dirty folios cost nothing. */
  nextDirty(pos: number, end: number): Folio | undefined {
    const dirty = this.#dirtyChunks;
    return dirty === undefined || dirty.size === 0 ? undefined : this.#search(pos, end, true);
  }

  #search(pos: number, end: number, dirty: boolean): Folio | undefined {
    if (pos >= end || this.folioCount === 0) return undefined;
    const firstIndex = Math.floor(pos / CHUNK_BYTES);
    // Not ceil(end) - 1 in one go: `end` may be Infinity.
    const lastIndex = Math.ceil(end / CHUNK_BYTES) - 1;
    const single = this.#single;
    if (single !== undefined) {
      if (single.index < firstIndex || single.index > lastIndex) return undefined;
      return scan(single, pos, end, dirty);
    }
    const chunks: { readonly size: number; [Symbol.iterator](): Iterator<unknown> } | undefined = dirty
      ? this.#dirtyChunks
      : this.#chunks;
    if (chunks === undefined) return undefined;
    if (lastIndex - firstIndex < chunks.size) {
      for (let index = firstIndex; index <= lastIndex; index++) {
        const chunk = this.#find(index);
        const found = chunk === undefined ? undefined : scan(chunk, pos, end, dirty);
        if (found !== undefined) return found;
      }
      return undefined;
    }
    return this.#searchSorted({ pos, end, firstIndex, lastIndex, dirty });
  }

  /** A wide range over few chunks: by the chunks there are, lowest first. */
  #searchSorted(want: { pos: number; end: number; firstIndex: number; lastIndex: number; dirty: boolean }): Folio | undefined {
    let after = want.firstIndex - 1;
    for (;;) {
      let best: Chunk | undefined;
      for (const chunk of (want.dirty ? this.#dirtyChunks : this.#chunks?.values()) ?? []) {
        const inside = chunk.index > after && chunk.index <= want.lastIndex;
        if (inside && (best === undefined || chunk.index < best.index)) best = chunk;
      }
      if (best === undefined) return undefined;
      const found = scan(best, want.pos, want.end, want.dirty);
      if (found !== undefined) return found;
      after = best.index;
    }
  }

  #find(index: number): Chunk | undefined {
    const single = this.#single;
    if (single !== undefined) return single.index === index ? single : undefined;
    return this.#chunks?.get(index);
  }

  #addChunk(index: number, shift: number): Chunk {
    const chunk: Chunk = { index, shift, slots: [], count: 0, dirty: 0 };
    if (this.#single === undefined && (this.#chunks === undefined || this.#chunks.size === 0)) {
      this.#single = chunk;
      return chunk;
    }
    const chunks = (this.#chunks ??= new Map());
    if (this.#single !== undefined) {
      chunks.set(this.#single.index, this.#single);
      this.#single = undefined;
    }
    chunks.set(index, chunk);
    return chunk;
  }
}

/** Makes the slots of a chunk finer: a smaller folio is coming. */
function refine(chunk: Chunk, shift: number): void {
  const times = 2 ** (chunk.shift - shift);
  const slots: (Folio | undefined)[] = [];
  for (const folio of chunk.slots) for (let n = 0; n < times; n++) slots.push(folio);
  chunk.slots = slots;
  chunk.shift = shift;
}

function scan(chunk: Chunk, pos: number, end: number, dirty: boolean): Folio | undefined {
  if (dirty && chunk.dirty === 0) return undefined;
  const start = chunk.index * CHUNK_BYTES;
  const { slots, shift } = chunk;
  const first = pos <= start ? 0 : (pos - start) >>> shift;
  const endInside = Math.min(end - start, CHUNK_BYTES);
  for (let at = first; at < slots.length && at * 2 ** shift < endInside; at++) {
    const folio = slots[at];
    if (folio !== undefined && (!dirty || folio.dirtyCount > 0)) return folio;
  }
  return undefined;
}

