/** Lists of numbers that grow: a check keeps its facts in typed arrays, a few bytes each, and never an object for each. */

const FIRST = 64;

/** Unsigned 32-bit numbers. */
export class Words {
  data = new Uint32Array(FIRST);
  length = 0;

  push(value: number): void {
    if (this.length === this.data.length) {
      const more = new Uint32Array(this.length * 2);
      more.set(this.data);
      this.data = more;
    }
    this.data[this.length++] = value;
  }

  at(i: number): number {
    return this.data[i] ?? 0;
  }

  /** What is there, without a copy. */
  view(): Uint32Array {
    return this.data.subarray(0, this.length);
  }
}

/** Numbers up to 2^53. */
export class Numbers {
  data = new Float64Array(FIRST);
  length = 0;

  push(value: number): void {
    if (this.length === this.data.length) {
      const more = new Float64Array(this.length * 2);
      more.set(this.data);
      this.data = more;
    }
    this.data[this.length++] = value;
  }

  at(i: number): number {
    return this.data[i] ?? 0;
  }

  clear(): void {
    this.length = 0;
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A buffer that is used again and again: contents last until the next `ensure`. */
export class Scratch {
  bytes = new Uint8Array(0);
  view = viewOf(this.bytes);

  /** Room for `length` bytes at least; what was there is lost when it grows. */
  ensure(length: number): void {
    if (this.bytes.length >= length) return;
    this.bytes = new Uint8Array(length);
    this.view = viewOf(this.bytes);
  }
}

/** Bits set in a 32-bit word. */
export function countBits(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return (((bits + (bits >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}
