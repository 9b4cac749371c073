/**
 * One block of directory entries: search, insert, remove. Plain functions over the block's bytes.
 *
 * Nothing in a block is believed: each step along the entries checks that the next one is inside the block and goes
 * forward, so every walk ends.
 */
import type { DirBlock } from '@iomap/block-map';
import { corrupt, type FsError } from '@iomap/io';
import { dirRecLen, recLenToDisk } from './ondisk.js';

/** Bytes of an entry's head. */
const HEAD = 8;
const REC_LEN = 4;
const NAME_LEN = 6;
const FILE_TYPE = 7;

function badEntry(buf: DirBlock, blockSize: number, offset: number, why: string): FsError {
  return corrupt(`bad directory entry: ${why}`, { block: buf.pos / blockSize, pos: buf.pos + offset, field: 'rec_len' });
}

/** The checked length of the entry at `offset`. */
export function recLenAt(buf: DirBlock, blockSize: number, offset: number): number {
  // An entry before may leave less than the smallest entry behind it.
  if (offset + 12 > blockSize) throw badEntry(buf, blockSize, offset, 'too close to the end of its block');
  let length = buf.view.getUint16(offset + REC_LEN, true);
  if (blockSize === 65536 && (length === 65535 || length === 0)) length = 65536;
  if (length < 12 || length % 4 !== 0 || offset + length > blockSize) {
    throw badEntry(buf, blockSize, offset, `length ${length}`);
  }
  return length;
}

export const inodeAt = (buf: DirBlock, offset: number): number => buf.view.getUint32(offset, true);
export const nameLenAt = (buf: DirBlock, offset: number): number => buf.view.getUint8(offset + NAME_LEN);
export const fileTypeAt = (buf: DirBlock, offset: number): number => buf.view.getUint8(offset + FILE_TYPE);

export function nameAt(buf: DirBlock, offset: number): string {
  const start = offset + HEAD;
  // One flat string, not a chain of concatenations: it becomes the key of a map.
  return Reflect.apply(String.fromCharCode, undefined, buf.bytes.subarray(start, start + nameLenAt(buf, offset))) as string;
}

/** Does the name fit its entry? */
function checkName(buf: DirBlock, blockSize: number, offset: number, recLen: number): void {
  if (HEAD + nameLenAt(buf, offset) > recLen) throw badEntry(buf, blockSize, offset, 'the name is longer than its entry');
}

/** Offset of the entry of `name`, or -1. */
export function findEntry(buf: DirBlock, blockSize: number, name: string): number {
  const { bytes, view } = buf;
  const length = name.length;
  const first = name.charCodeAt(0);
  for (let offset = 0; offset < blockSize; ) {
    const recLen = recLenAt(buf, blockSize, offset);
    if (bytes[offset + NAME_LEN] === length && bytes[offset + HEAD] === first && view.getUint32(offset, true) !== 0) {
      checkName(buf, blockSize, offset, recLen);
      let i = 1;
      const start = offset + HEAD;
      while (i < length && bytes[start + i] === name.charCodeAt(i)) i++;
      if (i === length) return offset;
    }
    offset += recLen;
  }
  return -1;
}

/** Calls `visit` with each used entry and where the next begins, from the first at or after `from`; stops when it says false. */
export function eachEntry(
  buf: DirBlock,
  blockSize: number,
  from: number,
  visit: (offset: number, next: number) => boolean,
): boolean {
  for (let offset = 0; offset < blockSize; ) {
    const recLen = recLenAt(buf, blockSize, offset);
    if (offset >= from && inodeAt(buf, offset) !== 0) {
      checkName(buf, blockSize, offset, recLen);
      if (!visit(offset, offset + recLen)) return false;
    }
    offset += recLen;
  }
  return true;
}

/** What a new entry says. */
export interface NewEntry {
  readonly name: string;
  readonly ino: number;
  readonly fileType: number;
}

/** The bytes of a block of entries, wherever they are. */
export type EntryBytes = Pick<DirBlock, 'bytes' | 'view'>;

/** Writes an entry of `recLen` bytes. */
export function writeEntry(buf: EntryBytes, offset: number, recLen: number, entry: NewEntry): void {
  const { view, bytes } = buf;
  const { name } = entry;
  view.setUint32(offset, entry.ino, true);
  view.setUint16(offset + REC_LEN, recLenToDisk(recLen), true);
  view.setUint8(offset + NAME_LEN, name.length);
  view.setUint8(offset + FILE_TYPE, entry.fileType);
  const start = offset + HEAD;
  for (let i = 0; i < name.length; i++) bytes[start + i] = name.charCodeAt(i);
  // Padding is zero, so that an image does not depend on what was there before.
  const end = offset + Math.min(recLen, dirRecLen(name.length));
  for (let i = start + name.length; i < end; i++) bytes[i] = 0;
}

export function setRecLen(buf: EntryBytes, offset: number, recLen: number): void {
  buf.view.setUint16(offset + REC_LEN, recLenToDisk(recLen), true);
}

/** Points an entry elsewhere. */
export function retarget(buf: DirBlock, offset: number, ino: number, fileType: number): void {
  buf.view.setUint32(offset, ino, true);
  buf.view.setUint8(offset + FILE_TYPE, fileType);
}

/**
 * Enters a name in the first gap that is large enough.
 * @returns -1 when it went in, else the largest gap of the block in bytes
 */
export function insertEntry(buf: DirBlock, blockSize: number, entry: NewEntry): number {
  const need = dirRecLen(entry.name.length);
  let largest = 0;
  for (let offset = 0; offset < blockSize; ) {
    const recLen = recLenAt(buf, blockSize, offset);
    const used = inodeAt(buf, offset) === 0 ? 0 : dirRecLen(nameLenAt(buf, offset));
    const gap = recLen - used;
    if (gap >= need) {
      if (used > 0) setRecLen(buf, offset, used);
      writeEntry(buf, offset + used, gap, entry);
      return -1;
    }
    if (gap > largest) largest = gap;
    offset += recLen;
  }
  return largest;
}

/** Removes the entry at `offset`: its room goes to the one before it, if the block has one. */
export function removeEntry(buf: DirBlock, blockSize: number, offset: number): void {
  let before = -1;
  let at = 0;
  while (at < offset) {
    before = at;
    at += recLenAt(buf, blockSize, at);
  }
  if (at !== offset) throw badEntry(buf, blockSize, offset, 'not where an entry starts');
  if (before >= 0) setRecLen(buf, before, offset - before + recLenAt(buf, blockSize, offset));
  else buf.view.setUint32(offset, 0, true);
}

/** Makes the whole block one unused entry. */
export function emptyBlock(buf: EntryBytes, blockSize: number): void {
  buf.bytes.fill(0);
  setRecLen(buf, 0, blockSize);
}
