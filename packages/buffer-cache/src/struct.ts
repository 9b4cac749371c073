/**
 * Struct tables: an on-disk structure is declared once, as a table of offsets with the specification's own field names
 * and one byte order; typed views, sizes, field lists (for mutators) and dumps derive from it.
 *
 * - Overlap and overrun throw when the table is declared (I1).
 * - `layout.at(bytes, offset)` is the only way to a view (I2); a view is (buffer, byteOffset) and dies with its buffer.
 * - A `u64` reads as `number` and throws EUCLEAN above 2^53 - 1 (I3); `b64` is an opaque 64-bit value and reads as
 *   `bigint`.
 *
 * Getters are made once per table, on a prototype, so a view is one object of three fields; `$set` points it
 * elsewhere, so that a
 * loop over a table of structures allocates nothing. Where even that is too much, `layout.offsets` has the numbers.
 */
import { assert, corrupt } from '@iomap/io';

export type FieldType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'b64';
/** `[offset, type]`, or `[offset, 'bytes', length]`, or `[offset, type, count]` for an array of integers. */
export type FieldSpec =
  | readonly [offset: number, type: FieldType]
  | readonly [offset: number, type: 'bytes', length: number]
  | readonly [offset: number, type: 'u16' | 'u32', count: number];

export type FieldTable = Readonly<Record<string, FieldSpec>>;
/** Byte order of all integers of a structure. */
export type ByteOrder = 'le' | 'be';

/** An array of integers inside a structure: no copy, reads and writes the image's bytes. */
export interface IntArray {
  readonly length: number;
  /**
   * Element `index` (0 ≤ index < length; a RangeError of ours to fix otherwise, since an index is never from an image).
   */
  get(index: number): number;
  set(index: number, value: number): void;
  toArray(): number[];
}

type FieldValue<S extends FieldSpec> = S extends readonly [number, 'bytes', number]
  ? Uint8Array
  : S extends readonly [number, FieldType, number]
    ? IntArray
    : S extends readonly [number, 'b64']
      ? bigint
      : number;

type ArrayKeys<T extends FieldTable> = {
  [K in keyof T]: T[K] extends readonly [number, FieldType, number] ? K : never;
}[keyof T];

/** What every view has beside its fields. */
export interface ViewBase {
  /** The bytes it looks at (all of them, not from `$offset`). */
  readonly $bytes: Uint8Array;
  /** Where the structure starts in `$bytes`. */
  readonly $offset: number;
  /**
   * Points this view at another place.
   * @throws FsError EUCLEAN when the structure does not fit there
   */
  $set(bytes: Uint8Array, offset?: number): void;
}

/**
 * A typed view. Assigning to a `bytes` field copies in (at most its length; the rest becomes zero). Arrays are
 * changed by
 * their own `set`.
 */
export type View<T extends FieldTable> = ViewBase & {
  -readonly [K in Exclude<keyof T, ArrayKeys<T>>]: FieldValue<T[K]>;
} & {
  readonly [K in ArrayKeys<T>]: FieldValue<T[K]>;
};

/** One field, for those who walk a table: dumps and image mutators. */
export interface FieldInfo {
  readonly name: string;
  readonly offset: number;
  readonly type: FieldType | 'bytes';
  /** Bytes in all. */
  readonly length: number;
  /** Elements of an array, else 1. */
  readonly count: number;
}

export interface Layout<T extends FieldTable> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly order: ByteOrder;
  readonly fields: readonly FieldInfo[];
  /** Offset of each field by name, for loops over raw bytes. */
  readonly offsets: { readonly [K in keyof T]: number };
  /**
   * A view of the structure at `offset` in `bytes`.
   * @throws FsError EUCLEAN when it does not fit
   */
  at(bytes: Uint8Array, offset?: number): View<T>;
  /** The fields as plain values: numbers, arrays, hex strings for bytes and `b64`. */
  dump(view: View<T>): Record<string, number | number[] | string>;
}

const WIDTHS: Readonly<Record<FieldType, number>> = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, b64: 8 };
const TWO32 = 2 ** 32;
/** The largest high word of a 64-bit count that a number holds exactly. */
const HIGH_MAX = 0x1fffff;

/** Reads a 64-bit count. EUCLEAN above 2^53 - 1. */
export function readU64(data: DataView, at: number, littleEndian: boolean, field = 'u64'): number {
  const low = data.getUint32(littleEndian ? at : at + 4, littleEndian);
  const high = data.getUint32(littleEndian ? at + 4 : at, littleEndian);
  if (high > HIGH_MAX) throw corrupt('a 64-bit count is beyond 2^53', { field });
  return high * TWO32 + low;
}

/** Writes a 64-bit count (a safe integer ≥ 0). */
export function writeU64(data: DataView, at: number, value: number, littleEndian: boolean): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a u64 field takes a safe integer');
  data.setUint32(littleEndian ? at : at + 4, value % TWO32, littleEndian);
  data.setUint32(littleEndian ? at + 4 : at, Math.floor(value / TWO32), littleEndian);
}

class Target {
  $data: DataView;
  $bytes: Uint8Array;
  $offset: number;

  constructor(bytes: Uint8Array, offset: number) {
    this.$bytes = bytes;
    this.$offset = offset;
    this.$data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

class FieldArray implements IntArray {
  readonly length: number;
  readonly #data: DataView;
  readonly #at: number;
  readonly #wide: boolean;
  readonly #le: boolean;

  constructor(data: DataView, at: number, shape: { length: number; wide: boolean; le: boolean }) {
    this.#data = data;
    this.#at = at;
    this.length = shape.length;
    this.#wide = shape.wide;
    this.#le = shape.le;
  }

  get(index: number): number {
    assert(index >= 0 && index < this.length, 'array index in range');
    return this.#wide
      ? this.#data.getUint32(this.#at + index * 4, this.#le)
      : this.#data.getUint16(this.#at + index * 2, this.#le);
  }

  set(index: number, value: number): void {
    assert(index >= 0 && index < this.length, 'array index in range');
    if (this.#wide) this.#data.setUint32(this.#at + index * 4, value, this.#le);
    else this.#data.setUint16(this.#at + index * 2, value, this.#le);
  }

  toArray(): number[] {
    return Array.from({ length: this.length }, (_, index) => this.get(index));
  }
}

interface Accessor {
  get(this: Target): unknown;
  set?(this: Target, value: never): void;
}

function integerAccessor(info: FieldInfo, le: boolean): Accessor {
  const { offset: o, name } = info;
  switch (info.type) {
    case 'u8':
      return {
        get() {
          return this.$data.getUint8(this.$offset + o);
        },
        set(v: number) {
          this.$data.setUint8(this.$offset + o, v);
        },
      };
    case 'i8':
      return {
        get() {
          return this.$data.getInt8(this.$offset + o);
        },
        set(v: number) {
          this.$data.setInt8(this.$offset + o, v);
        },
      };
    case 'u16':
      return {
        get() {
          return this.$data.getUint16(this.$offset + o, le);
        },
        set(v: number) {
          this.$data.setUint16(this.$offset + o, v, le);
        },
      };
    case 'i16':
      return {
        get() {
          return this.$data.getInt16(this.$offset + o, le);
        },
        set(v: number) {
          this.$data.setInt16(this.$offset + o, v, le);
        },
      };
    case 'u32':
      return {
        get() {
          return this.$data.getUint32(this.$offset + o, le);
        },
        set(v: number) {
          this.$data.setUint32(this.$offset + o, v, le);
        },
      };
    case 'i32':
      return {
        get() {
          return this.$data.getInt32(this.$offset + o, le);
        },
        set(v: number) {
          this.$data.setInt32(this.$offset + o, v, le);
        },
      };
    case 'u64':
      return {
        get() {
          return readU64(this.$data, this.$offset + o, le, name);
        },
        set(v: number) {
          writeU64(this.$data, this.$offset + o, v, le);
        },
      };
    case 'b64':
      return {
        get() {
          return this.$data.getBigUint64(this.$offset + o, le);
        },
        set(v: bigint) {
          this.$data.setBigUint64(this.$offset + o, v, le);
        },
      };
    case 'bytes':
      return bytesAccessor(info);
  }
}

function bytesAccessor({ offset, length, name }: FieldInfo): Accessor {
  return {
    get() {
      return this.$bytes.subarray(this.$offset + offset, this.$offset + offset + length);
    },
    set(value: Uint8Array) {
      assert(value.length <= length, `${name} takes at most ${length} bytes`);
      this.$bytes.set(value, this.$offset + offset);
      this.$bytes.fill(0, this.$offset + offset + value.length, this.$offset + offset + length);
    },
  };
}

function arrayAccessor({ offset, count, type }: FieldInfo, le: boolean): Accessor {
  const shape = { length: count, wide: type === 'u32', le };
  return {
    get() {
      return new FieldArray(this.$data, this.$offset + offset, shape);
    },
  };
}

function fieldInfo(name: string, spec: FieldSpec): FieldInfo {
  const [offset, type, extent] = spec;
  if (type === 'bytes') return { name, offset, type, length: extent, count: 1 };
  const count = extent ?? 1;
  return { name, offset, type, length: WIDTHS[type] * count, count };
}

function checkTable(name: string, size: number, fields: readonly FieldInfo[]): void {
  let end = 0;
  let before = '';
  for (const field of [...fields].sort((a, b) => a.offset - b.offset)) {
    assert(
      Number.isInteger(field.offset) && field.offset >= 0 && field.length > 0,
      `I1: ${name}.${field.name} has a place`,
    );
    assert(field.offset >= end, `I1: ${name}.${field.name} does not overlap ${before}`);
    end = field.offset + field.length;
    assert(end <= size, `I1: ${name}.${field.name} ends within ${size} bytes`);
    before = field.name;
  }
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/**
 * Declares a structure.
 * @param size bytes; no field may end beyond it
 * @throws AssertionError when fields overlap or overrun
 */
export function layout<const T extends FieldTable>(name: string, size: number, order: ByteOrder, table: T): Layout<T> {
  const le = order === 'le';
  const fields = Object.entries(table).map(([field, spec]) => fieldInfo(field, spec));
  checkTable(name, size, fields);

  const place = (bytes: Uint8Array, offset: number): void => {
    if (!(offset >= 0) || offset + size > bytes.length) {
      throw corrupt(`${name} does not fit: ${size} bytes at ${offset} of ${bytes.length}`);
    }
  };
  // A class for each table, so that the view's shape and its getters belong together.
  const FieldView = class extends Target {
    $set(bytes: Uint8Array, offset = 0): void {
      place(bytes, offset);
      if (bytes !== this.$bytes) {
        this.$bytes = bytes;
        this.$data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      }
      this.$offset = offset;
    }
  };
  for (const info of fields) {
    const spec = table[info.name];
    const isArray = spec !== undefined && spec.length === 3 && spec[1] !== 'bytes';
    const accessor = isArray ? arrayAccessor(info, le) : integerAccessor(info, le);
    Object.defineProperty(FieldView.prototype, info.name, { ...accessor, enumerable: true });
  }

  return {
    name,
    size,
    order,
    fields,
    offsets: Object.fromEntries(fields.map((field) => [field.name, field.offset])) as { [K in keyof T]: number },
    at(bytes, offset = 0) {
      place(bytes, offset);
      return new FieldView(bytes, offset) as unknown as View<T>;
    },
    dump(view) {
      const values: Record<string, number | number[] | string> = {};
      for (const { name: field } of fields) {
        const value = (view as Record<string, unknown>)[field];
        if (value instanceof Uint8Array) values[field] = hex(value);
        else if (value instanceof FieldArray) values[field] = value.toArray();
        else values[field] = typeof value === 'bigint' ? `0x${value.toString(16)}` : (value as number);
      }
      return values;
    },
  };
}
