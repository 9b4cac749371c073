/**
 * Extended attributes as stored: the entries of an inode's own area or of an attribute block, their order and hashes.
 *
 * Decoding checks every offset; encoding lays the names out from the start and the values from the end, as Linux does.
 */
import { corrupt, type FsError } from '@iomap/io';
import { Ext2XattrEntry, Ext2XattrHeader, XATTR_MAGIC } from './ondisk.js';

/** One attribute: the name without its prefix, which `index` stands for. */
export interface XattrItem {
  readonly index: number;
  readonly name: string;
  readonly value: Uint8Array;
}

const HEADER = Ext2XattrHeader.size;
const IBODY_HEADER = 4;
const ENTRY = Ext2XattrEntry.size;
const pad4 = (n: number): number => (n + 3) & ~3;

const rotl = (x: number, by: number): number => ((x << by) | (x >>> (32 - by))) >>> 0;

/** Hash of one entry, over its name and its value padded with zeroes to whole words. */
export function entryHash(item: XattrItem): number {
  let hash = 0;
  for (let i = 0; i < item.name.length; i++) hash = (rotl(hash, 5) ^ item.name.charCodeAt(i)) >>> 0;
  const { value } = item;
  for (let i = 0; i < value.length; i += 4) {
    const word =
      ((value[i] ?? 0) | ((value[i + 1] ?? 0) << 8) | ((value[i + 2] ?? 0) << 16) | ((value[i + 3] ?? 0) << 24)) >>> 0;
    hash = (rotl(hash, 16) ^ word) >>> 0;
  }
  return hash;
}

/** Hash of a block, over its entries' hashes in order; 0 when one of them has none (such a block is not shared). */
export function blockHash(hashes: readonly number[]): number {
  let hash = 0;
  for (const one of hashes) {
    if (one === 0) return 0;
    hash = (rotl(hash, 16) ^ one) >>> 0;
  }
  return hash;
}

/** The order of entries in a block: by prefix, length of name, name. */
export function compareItems(a: XattrItem, b: XattrItem): number {
  return a.index - b.index || a.name.length - b.name.length || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

interface Area {
  readonly bytes: Uint8Array;
  /** Where the entries start, and what value offsets count from. */
  readonly first: number;
  readonly origin: number;
}

function decodeArea({ bytes, first, origin }: Area): XattrItem[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bad = (why: string): FsError => corrupt(`extended attributes: ${why}`, { field: 'e_name_len' });
  const items: XattrItem[] = [];
  let at = first;
  for (;;) {
    if (at + 4 > bytes.length) throw bad('the list does not end');
    if (view.getUint32(at, true) === 0) break;
    if (at + ENTRY > bytes.length) throw bad('an entry ends beyond the area');
    const nameLength = view.getUint8(at);
    const next = at + ENTRY + pad4(nameLength);
    if (next > bytes.length) throw bad('a name ends beyond the area');
    const start = origin + view.getUint16(at + 2, true);
    const size = view.getUint32(at + 8, true);
    if (view.getUint32(at + 4, true) !== 0) throw bad('a value in another block');
    if (size > 0 && (start < first || size > bytes.length || start + size > bytes.length)) throw bad('a value outside of the area');
    let name = '';
    for (let i = 0; i < nameLength; i++) name += String.fromCharCode(bytes[at + ENTRY + i] ?? 0);
    items.push({ index: view.getUint8(at + 1), name, value: size > 0 ? bytes.slice(start, start + size) : new Uint8Array(0) });
    at = next;
  }
  return items;
}

/** The attributes in an inode's own area; none when it does not begin with the magic number. @throws FsError EUCLEAN */
export function decodeIbody(bytes: Uint8Array | undefined): XattrItem[] {
  if (bytes === undefined || bytes.length < IBODY_HEADER + 4) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== XATTR_MAGIC) return [];
  return decodeArea({ bytes, first: IBODY_HEADER, origin: IBODY_HEADER });
}

/** The attributes in a block. @throws FsError EUCLEAN */
export function decodeXattrBlock(bytes: Uint8Array): XattrItem[] {
  const header = Ext2XattrHeader.at(bytes);
  if (header.h_magic !== XATTR_MAGIC) throw corrupt('extended attributes: bad magic number', { field: 'h_magic' });
  if (header.h_blocks !== 1) throw corrupt('extended attributes: more than one block', { field: 'h_blocks' });
  return decodeArea({ bytes, first: HEADER, origin: 0 });
}

/** Bytes that the items take, without header, with the word that ends the list. */
export function itemsBytes(items: readonly XattrItem[]): number {
  let total = 4;
  for (const { name, value } of items) total += ENTRY + pad4(name.length) + pad4(value.length);
  return total;
}

function encodeArea(area: Area, items: readonly XattrItem[], hashes: readonly number[]): void {
  const { bytes, first, origin } = area;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = first;
  // Values end on a word counted from the origin.
  let end = origin + (bytes.length - origin - ((bytes.length - origin) % 4));
  items.forEach((item, i) => {
    end -= pad4(item.value.length);
    view.setUint8(at, item.name.length);
    view.setUint8(at + 1, item.index);
    view.setUint16(at + 2, item.value.length === 0 ? 0 : end - origin, true);
    view.setUint32(at + 8, item.value.length, true);
    view.setUint32(at + 12, hashes[i] ?? 0, true);
    for (let c = 0; c < item.name.length; c++) bytes[at + ENTRY + c] = item.name.charCodeAt(c);
    bytes.set(item.value, end);
    at += ENTRY + pad4(item.name.length);
  });
}

/** Can an inode's area of `length` bytes hold the items? */
export const fitsIbody = (items: readonly XattrItem[], length: number): boolean => IBODY_HEADER + itemsBytes(items) <= length;
export const fitsBlock = (items: readonly XattrItem[], blockSize: number): boolean => HEADER + itemsBytes(items) <= blockSize;

/** The items as an inode's own area of `length` bytes; hashes are zero there. */
export function encodeIbody(items: readonly XattrItem[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (items.length === 0) return bytes;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, XATTR_MAGIC, true);
  encodeArea({ bytes, first: IBODY_HEADER, origin: IBODY_HEADER }, items, []);
  return bytes;
}

/** The items as an attribute block with one reference. */
export function encodeXattrBlock(items: readonly XattrItem[], blockSize: number): { bytes: Uint8Array; hash: number } {
  const bytes = new Uint8Array(blockSize);
  const sorted = [...items].sort(compareItems);
  const hashes = sorted.map(entryHash);
  const hash = blockHash(hashes);
  const header = Ext2XattrHeader.at(bytes);
  header.h_magic = XATTR_MAGIC;
  header.h_refcount = 1;
  header.h_blocks = 1;
  header.h_hash = hash;
  encodeArea({ bytes, first: HEADER, origin: 0 }, sorted, hashes);
  return { bytes, hash };
}
