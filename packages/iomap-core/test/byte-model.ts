/**
 * What a file must hold: a plain byte array, exact under concurrency.
 *
 * Content is by tags: byte `i` of what tag `t` wrote is `pattern(t)[i]`, another for each position, so that a misplaced byte
 * shows as well as a lost one. Calls under the inode lock exclude each other; a store into mapped memory does not, and where it
 * meets a call in progress the byte is one of two until the next call or store that is alone: `either`.
 */

/** The longest file. */
export const MODEL_BYTES = 16_384;

const patterns: Uint8Array[] = [];

/** What tag `tag` (1 … 255) writes, by position in the file. */
export function pattern(tag: number): Uint8Array {
  let bytes = patterns[tag];
  if (bytes === undefined) {
    bytes = patterns[tag] = new Uint8Array(MODEL_BYTES);
    for (let i = 0; i < MODEL_BYTES; i++) bytes[i] = 1 + ((tag * 37 + i * 11 + Math.floor(i / 256) * 3) % 251);
  }
  return bytes;
}

interface Change {
  readonly pos: number;
  readonly end: number;
  /** Undefined: zeroes. */
  readonly tag: number | undefined;
}

export class ByteModel {
  readonly bytes = new Uint8Array(MODEL_BYTES);
  size = 0;
  /** Where the file holds this or `bytes`. Made when the first such byte is. */
  #other: Uint8Array | undefined;
  #unsure: Uint8Array | undefined;
  #unsureCount = 0;
  /** The call in progress that changes bytes. */
  #open: Change | undefined;

  /** A call under the inode lock begins to change [pos, end). */
  begin(pos: number, end: number, tag?: number): void {
    this.#open = { pos, end, tag };
  }

  /** It ended, and changed what it said up to `end`; the size is `size` now. */
  commit(size: number, end = this.#open?.end ?? 0): void {
    const open = this.#open;
    this.#open = undefined;
    const { bytes } = this;
    if (open !== undefined && end > open.pos) {
      if (this.#unsureCount === 0) put(bytes, open, open.pos, end);
      else this.#commitAround(open, end);
    }
    if (size < this.size) this.#settle(size, this.size, 0);
    this.size = size;
  }

  /** A store into mapped memory, at once. */
  store(pos: number, end: number, tag: number): void {
    this.#settle(pos, end, tag);
    const open = this.#open;
    if (open === undefined || pos >= open.end || end <= open.pos) return;
    const other = (this.#other ??= new Uint8Array(MODEL_BYTES));
    const unsure = (this.#unsure ??= new Uint8Array(MODEL_BYTES));
    for (let i = Math.max(pos, open.pos); i < Math.min(end, open.end); i++) {
      if (unsure[i] === 0) this.#unsureCount++;
      unsure[i] = 1;
      other[i] = open.tag === undefined ? 0 : (pattern(open.tag)[i] ?? 0);
    }
  }

  /** What is wrong with `got`, read at `pos` without a change in progress (or with one: then either side of it is right). */
  check(pos: number, got: Uint8Array): string | undefined {
    const want = this.bytes.subarray(pos, pos + got.length);
    if (Buffer.compare(got, want) === 0) return undefined;
    for (let i = 0; i < got.length; i++) {
      if (got[i] === want[i]) continue;
      const at = pos + i;
      if (this.#unsure?.[at] === 1 && got[i] === this.#other?.[at]) continue;
      const open = this.#open;
      const pending = open !== undefined && at >= open.pos && at < open.end;
      if (pending && got[i] === (open.tag === undefined ? 0 : pattern(open.tag)[at])) continue;
      return `byte ${at} is ${String(got[i])}, not ${String(want[i])}`;
    }
    return undefined;
  }

  /** A change that met stores: their bytes may be its or theirs. */
  #commitAround(open: Change, end: number): void {
    const unsure = this.#unsure;
    const content = open.tag === undefined ? undefined : pattern(open.tag);
    for (let i = open.pos; i < end; i++) {
      if (unsure?.[i] === 1) continue;
      this.bytes[i] = content?.[i] ?? 0;
    }
  }

  #settle(pos: number, end: number, tag: number): void {
    put(this.bytes, { tag: tag === 0 ? undefined : tag }, pos, end);
    if (this.#unsureCount === 0 || this.#unsure === undefined) return;
    for (let i = pos; i < end; i++) {
      if (this.#unsure[i] === 0) continue;
      this.#unsure[i] = 0;
      this.#unsureCount--;
    }
  }
}

function put(bytes: Uint8Array, { tag }: { readonly tag: number | undefined }, pos: number, end: number): void {
  if (tag === undefined) bytes.fill(0, pos, end);
  else bytes.set(pattern(tag).subarray(pos, end), pos);
}
