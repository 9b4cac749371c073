/**
 * Struct tables: an on-disk structure is declared once, as a table of offsets with the specification's own field names
 * and one byte order; typed views, sizes, field lists (for mutators) and dumps derive from it.
 *
 * - Overlap and overrun throw when the table is declared (I1).
 * - `layout.at(bytes, offset)` is the only way to a view (I2); a view is (buffer, byteOffset) and dies with its buffer.
 * - A `u64` reads as `number` and throws EUCLEAN above 2^53 - 1 (I3); `b64` is an opaque 64-bit value and reads as `bigint`.
 */
export type FieldType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'b64';
/** `[offset, type]`, or `[offset, 'bytes', length]`, or `[offset, type, count]` for an array of integers. */
export type FieldSpec =
  | readonly [offset: number, type: FieldType]
  | readonly [offset: number, type: 'bytes', length: number]
  | readonly [offset: number, type: 'u16' | 'u32', count: number];
