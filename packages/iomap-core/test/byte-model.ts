/**
 * What a file must hold: a plain byte array, exact under concurrency.
 *
 * Content is by tags: byte `i` of what tag `t` wrote is `pattern(t)[i]`, another for each position, so that a misplaced byte
 * shows as well as a lost one. Calls under the inode lock exclude each other; a store into mapped memory does not, and where it
 * meets a call in progress the byte is one of two until the next call or store that is alone.
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

/** What a call in progress makes of [pos, end). */
export interface Change {
  readonly pos: number;
  readonly end: number;
  /** Undefined: zeroes. */
  readonly tag: number | undefined;
  /** It goes past the cache. */
  readonly direct: boolean;
  /** What was lost meanwhile: it may be what the call brought. */
  lost?: { readonly pos: number; readonly end: number }[];
}

interface Past {
  readonly pos: number;
  readonly bytes: Uint8Array;
}

export class ByteModel {
  readonly bytes = new Uint8Array(MODEL_BYTES);
  size = 0;
  /** Where the file holds this or `bytes`. Made when the first such byte is. */
  #other: Uint8Array | undefined;
  #unsure: Uint8Array | undefined;
  #unsureCount = 0;
  readonly #open = new Set<Change>();
  /** Bytes that a failed request may have cost: 1 = anything may be there. Made when the first is lost. */
  #lost: Uint8Array | undefined;
  /** What was there before each change, while anybody is reading. */
  readonly #past: Past[] = [];
  #readers = 0;

  /** A call begins to change [pos, end). */
  begin(pos: number, end: number, tag?: number, direct = false): Change {
    const change = { pos, end, tag, direct };
    this.#open.add(change);
    return change;
  }

  /** It ended, and changed what it said up to `end`; the size is `size` now. */
  commit(change: Change, size = this.size, end = change.end): void {
    this.#open.delete(change);
    // Who is reading may have had what was lost before.
    if (this.#readers === 0) this.#lost?.fill(0, change.pos, end);
    for (const one of change.lost ?? []) this.lose(one.pos, one.end);
    if (end > change.pos) {
      this.#remember(change.pos, end);
      if (this.#unsureCount === 0) put(this.bytes, change, change.pos, end);
      else this.#commitAround(change, end);
    }
    if (size < this.size) this.#settle(size, this.size, undefined);
    this.size = size;
  }

  /** It ended, and changed nothing. */
  drop(change: Change): void {
    this.#open.delete(change);
  }

  /** It failed: of its bytes anything may be there. */
  fail(change: Change, size: number): void {
    this.#open.delete(change);
    this.lose(change.pos, Math.max(change.end, this.size === size ? 0 : Math.max(this.size, size)));
    if (size < this.size) this.#settle(size, this.size, undefined);
    this.size = size;
  }

  /** The data of [pos, end) was given up. */
  lose(pos: number, end: number): void {
    (this.#lost ??= new Uint8Array(MODEL_BYTES)).fill(1, pos, Math.min(end, MODEL_BYTES));
    for (const open of this.#open) (open.lost ??= []).push({ pos, end });
  }

  /** It ended, and nobody can know what of it was done: each byte is as before or as it would have been. */
  giveUp(change: Change, size = this.size): void {
    this.#open.delete(change);
    for (let i = change.pos; i < Math.min(change.end, size); i++) this.#doubt(i, change);
    this.size = size;
  }

  /**
   * A store into mapped memory, at once, to a file of `size` bytes now. What is stored past its end does not count, but where a
   * write is just making the file longer: it may have zeroed that part before or after.
   */
  store(pos: number, storeEnd: number, tag: number, size = Infinity): void {
    const end = Math.max(pos, Math.min(storeEnd, size));
    for (const open of this.#open) {
      if (open.end > size) for (let i = end; i < storeEnd; i++) this.#doubt(i, { tag });
    }
    this.#settle(pos, end, tag);
    for (const open of this.#open) {
      for (let i = Math.max(pos, open.pos); i < Math.min(end, open.end); i++) this.#doubt(i, open);
    }
  }

  /** The first [pos, pos + n) bytes are moved from `from` on. */
  move(from: number, pos: number, size: number): void {
    this.#remember(pos, this.size);
    this.bytes.copyWithin(pos, from, this.size);
    this.#lost?.copyWithin(pos, from, this.size);
    if (this.#unsureCount > 0) {
      this.#other?.copyWithin(pos, from, this.size);
      this.#unsure?.copyWithin(pos, from, this.size);
      this.#unsureCount = this.#unsure?.reduce((sum, one) => sum + one, 0) ?? 0;
    }
    this.#settle(size, this.size, undefined);
    this.size = size;
  }

  /** A call in progress (that goes past the cache, if `direct` is given) meets [pos, end). */
  isChanging(pos: number, end: number, direct?: boolean): boolean {
    for (const open of this.#open) {
      if (open.pos < end && open.end > pos && (direct === undefined || open.direct === direct)) return true;
    }
    return false;
  }

  /** Somebody begins to read; the answer is for `check`, and `readEnd` must follow. */
  readStart(): number {
    this.#readers++;
    return this.#past.length;
  }

  readEnd(): void {
    if (--this.#readers === 0) this.#past.length = 0;
  }

  /** What is wrong with `got`, read at `pos` since `start`: each byte may be what it was at any time since then. */
  check(pos: number, got: Uint8Array, start = this.#past.length): string | undefined {
    const want = this.bytes.subarray(pos, pos + got.length);
    if (Buffer.compare(got, want) === 0) return undefined;
    for (let i = 0; i < got.length; i++) {
      if (got[i] === want[i] || this.#lost?.[pos + i] === 1 || this.#mayBe(pos + i, got[i] ?? 0, start)) continue;
      return `byte ${pos + i} is ${String(got[i])}, not ${String(want[i])}`;
    }
    return undefined;
  }

  /** Takes over what another holds. */
  copyFrom(model: ByteModel): void {
    this.bytes.set(model.bytes);
    this.size = model.size;
    this.#unsureCount = model.#unsureCount;
    this.#unsure = model.#unsure?.slice();
    this.#other = model.#other?.slice();
    this.#lost = model.#lost?.slice();
  }

  #mayBe(at: number, byte: number, start: number): boolean {
    if (this.#unsure?.[at] === 1 && byte === this.#other?.[at]) return true;
    for (const open of this.#open) if (at >= open.pos && at < open.end && byte === contentOf(open, at)) return true;
    for (let n = start; n < this.#past.length; n++) {
      const past = this.#past[n];
      if (past !== undefined && byte === past.bytes[at - past.pos]) return true;
    }
    return false;
  }

  #remember(pos: number, end: number): void {
    if (this.#readers === 0 || end <= pos) return;
    this.#past.push({ pos, bytes: this.bytes.slice(pos, end) });
    // What else a byte may have been until now.
    if (this.#unsureCount === 0) return;
    const others = this.bytes.slice(pos, end);
    for (let i = pos; i < end; i++) if (this.#unsure?.[i] === 1) others[i - pos] = this.#other?.[i] ?? 0;
    this.#past.push({ pos, bytes: others });
  }

  /** The byte is what it is, or what `change` makes of it. */
  #doubt(at: number, change: Pick<Change, 'tag'>): void {
    const other = (this.#other ??= new Uint8Array(MODEL_BYTES));
    const unsure = (this.#unsure ??= new Uint8Array(MODEL_BYTES));
    if (unsure[at] === 0) this.#unsureCount++;
    unsure[at] = 1;
    other[at] = contentOf(change, at);
  }

  /** A change that met stores: their bytes may be its or theirs. */
  #commitAround(change: Change, end: number): void {
    for (let i = change.pos; i < end; i++) if (this.#unsure?.[i] !== 1) this.bytes[i] = contentOf(change, i);
    // Stores that came before it did are gone; those that came during it were marked with what it makes.
    for (let i = change.pos; i < end; i++) {
      if (this.#unsure?.[i] === 1 && this.#other?.[i] !== contentOf(change, i)) this.#settleOne(i, contentOf(change, i));
    }
  }

  #settle(pos: number, end: number, tag: number | undefined): void {
    if (end <= pos) return;
    this.#remember(pos, end);
    put(this.bytes, { tag }, pos, end);
    if (this.#unsureCount > 0) for (let i = pos; i < end; i++) this.#settleOne(i, this.bytes[i] ?? 0);
  }

  #settleOne(at: number, byte: number): void {
    this.bytes[at] = byte;
    if (this.#unsure?.[at] !== 1) return;
    this.#unsure[at] = 0;
    this.#unsureCount--;
  }
}

const contentOf = ({ tag }: Pick<Change, 'tag'>, at: number): number => (tag === undefined ? 0 : (pattern(tag)[at] ?? 0));

function put(bytes: Uint8Array, { tag }: { readonly tag: number | undefined }, pos: number, end: number): void {
  if (tag === undefined) bytes.fill(0, pos, end);
  else bytes.set(pattern(tag).subarray(pos, end), pos);
}
