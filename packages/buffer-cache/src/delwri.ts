/**
 * A delayed-write list: buffers that one operation wants written together, later, in device order.
 *
 * A buffer may be on several lists; the one that is submitted first writes it and the others find it clean. A queued
 * buffer is
 * dirty, so it cannot be evicted meanwhile.
 */
import { assert, type Io } from '@iomap/io';

import type { Buf } from './buf.js';

/** What a list needs of its cache. */
export interface DelwriHost {
  writeBufs(bufs: Buf[]): Io<void>;
}

export class DelwriList {
  readonly #bufs = new Set<Buf>();
  readonly #host: DelwriHost;

  constructor(host: DelwriHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#bufs.size;
  }

  /** Adds a dirty buffer; false when it was on the list. */
  queue(buf: Buf): boolean {
    assert(buf.dirty, 'only a dirty buffer is queued');
    if (this.#bufs.has(buf)) return false;
    this.#bufs.add(buf);
    return true;
  }

  /** Takes a buffer off the list; it stays dirty. */
  cancel(buf: Buf): boolean {
    return this.#bufs.delete(buf);
  }

  /**
   * Writes the list, sorted and merged, and waits; the list is empty afterwards. Pinned buffers stay on it.
   * @throws FsError the first failure; the failed buffers stay dirty and are off the list
   */
  *submit(): Io<void> {
    const bufs = [...this.#bufs].filter((buf) => buf.pins === 0);
    for (const buf of bufs) this.#bufs.delete(buf);
    yield* this.#host.writeBufs(bufs);
  }
}
