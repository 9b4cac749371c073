/**
 * The buffer head: the state of one block of a page, and where that block is on the device. A page has a ring of them, one per
 * block, hung on `Folio.private`; they say what the page's own two flags cannot (`fs/buffer.c`, `struct buffer_head`).
 *
 * - `buffersOf(folio)`: the first of the ring, if there is one. `makeBuffers(folio, blockSize)`: that, or a new ring.
 * - The page's flags are the folio's bits: a mapping of the old way has one folio "block" per page (`PAGE_BYTES`).
 *
 * I1: a dirty buffer head is uptodate and mapped. I2: a page with a dirty buffer head is dirty.
 * I3: an uptodate page's buffer heads may lag behind it; an operation that meets one sets its flag.
 */
import type { Folio } from '@iomap/page-cache';

/** Bytes of a page, and so of every folio of a file in the old way. */
export const PAGE_BYTES = 4096;

// Bits of `state`, after `enum bh_state_bits`.
export const BH_UPTODATE = 1;
export const BH_DIRTY = 2;
export const BH_MAPPED = 4;
/** Mapped by the write under way: the device holds whatever was there before. */
export const BH_NEW = 8;
/** The next block's map is in another metadata block than this one's. */
export const BH_BOUNDARY = 16;

/** Bytes of a `struct buffer_head` of a 64-bit Linux kernel. */
export const KERNEL_BUFFER_HEAD_BYTES = 104;

/** Bytes of ours on a 64-bit V8 without pointer compression, measured (state-bytes.spec.ts); 16 more beyond 2 GiB of the device. */
export const BUFFER_HEAD_BYTES = 72;

export class BufferHead {
  state = 0;
  /** Byte position on the device; meaningful while mapped. */
  addr = -1;
  /** Byte offset in the page. */
  readonly offset: number;
  readonly size: number;
  readonly folio: Folio;
  /** The ring (`b_this_page`). */
  next: BufferHead;

  constructor(folio: Folio, offset: number, size: number) {
    this.folio = folio;
    this.offset = offset;
    this.size = size;
    this.next = this;
  }

  has(bits: number): boolean {
    return (this.state & bits) === bits;
  }

  set(bits: number): void {
    this.state |= bits;
  }

  clear(bits: number): void {
    this.state &= ~bits;
  }

  /** The block's bytes in the page. */
  get data(): Uint8Array {
    return this.size === PAGE_BYTES ? this.folio.data : this.folio.data.subarray(this.offset, this.offset + this.size);
  }
}

/** The first buffer head of a page's ring. */
export function buffersOf(folio: Folio): BufferHead | undefined {
  const head = folio.private;
  return head instanceof BufferHead ? head : undefined;
}

/** The ring of a page, made where there is none (`create_empty_buffers`). */
export function makeBuffers(folio: Folio, blockSize: number): BufferHead {
  const there = buffersOf(folio);
  if (there !== undefined) return there;
  const head = new BufferHead(folio, 0, blockSize);
  const state = (folio.uptodate ? BH_UPTODATE : 0);
  head.state = state;
  let last = head;
  for (let offset = blockSize; offset < folio.size; offset += blockSize) {
    const one = new BufferHead(folio, offset, blockSize);
    one.state = state;
    last.next = one;
    last = one;
  }
  last.next = head;
  folio.private = head;
  return head;
}

/** Every buffer head of the ring has the bits. */
export function allHave(head: BufferHead, bits: number): boolean {
  let at = head;
  do {
    if (!at.has(bits)) return false;
    at = at.next;
  } while (at !== head);
  return true;
}

/** Any buffer head of the ring has the bits. */
export function anyHas(head: BufferHead, bits: number): boolean {
  let at = head;
  do {
    if (at.has(bits)) return true;
    at = at.next;
  } while (at !== head);
  return false;
}
