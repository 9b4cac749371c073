/** The content of a simulated disk: sparse pages that forks share until one of them writes. */

const PAGE_BYTES = 4096;

export class PageStore {
  readonly #pages: Map<number, Uint8Array>;
  /** Pages that no other store can see. */
  readonly #own = new Set<number>();

  constructor(pages: Map<number, Uint8Array> = new Map<number, Uint8Array>()) {
    this.#pages = pages;
  }

  /** A store with the same content; both copy a page before they next write to it. */
  fork(): PageStore {
    this.#own.clear();
    return new PageStore(new Map(this.#pages));
  }

  read(pos: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const index = Math.floor((pos + done) / PAGE_BYTES);
      const at = pos + done - index * PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - at, into.length - done);
      const page = this.#pages.get(index);
      if (page === undefined) into.fill(0, done, done + length);
      else into.set(page.subarray(at, at + length), done);
      done += length;
    }
  }

  write(pos: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const index = Math.floor((pos + done) / PAGE_BYTES);
      const at = pos + done - index * PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - at, bytes.length - done);
      this.#ownPage(index).set(bytes.subarray(done, done + length), at);
      done += length;
    }
  }

  zero(pos: number, length: number): void {
    const first = Math.floor(pos / PAGE_BYTES);
    const last = Math.ceil((pos + length) / PAGE_BYTES);
    // A page that is not there is zero already, so only what is there matters.
    const indices = last - first > this.#pages.size ? [...this.#pages.keys()] : undefined;
    const zeroPage = (index: number): void => {
      if (index < first || index >= last || !this.#pages.has(index)) return;
      const from = Math.max(0, pos - index * PAGE_BYTES);
      const to = Math.min(PAGE_BYTES, pos + length - index * PAGE_BYTES);
      if (from === 0 && to === PAGE_BYTES) {
        this.#pages.delete(index);
        this.#own.delete(index);
      } else {
        this.#ownPage(index).fill(0, from, to);
      }
    };
    if (indices !== undefined) indices.forEach(zeroPage);
    else for (let index = first; index < last; index++) zeroPage(index);
  }

  #ownPage(index: number): Uint8Array {
    const page = this.#pages.get(index);
    if (page !== undefined && this.#own.has(index)) return page;
    const own = page === undefined ? new Uint8Array(PAGE_BYTES) : page.slice();
    this.#pages.set(index, own);
    this.#own.add(index);
    return own;
  }
}
