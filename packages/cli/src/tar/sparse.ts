/**
 * GNU's sparse files in PAX archives: formats 0.0 and 0.1 (the map in records), 1.0 (the map before the data), and the
 * old GNU format (typeflag S: the map in the header and blocks after it).
 *
 * Written is 1.0, which GNU tar and bsdtar restore. A map is accepted only when its pieces rise, do not overlap, lie inside
 * the file and add up to the data that the archive has.
 */
import { readNumber, BLOCK } from './header.js';
import type { PaxRecord } from './pax.js';
import type { DataRun } from '../source/source.js';

/** A piece of data of a sparse file. Bytes. */
export interface SparsePiece {
  readonly pos: number;
  readonly length: number;
}

const DECIMAL = /^[0-9]{1,16}$/;

/** The map of formats 0.0 and 0.1. @returns undefined when the records have none or it is damaged */
export function mapFromRecords(records: readonly PaxRecord[]): SparsePiece[] | undefined {
  const listed = records.find((record) => record.key === 'GNU.sparse.map');
  const numbers =
    listed !== undefined
      ? listed.value.split(',').filter((text) => text !== '')
      : records
          .filter((record) => record.key === 'GNU.sparse.offset' || record.key === 'GNU.sparse.numbytes')
          .map((record) => record.value);
  return piecesOf(numbers);
}

function piecesOf(numbers: readonly string[]): SparsePiece[] | undefined {
  if (numbers.length % 2 !== 0) return undefined;
  const pieces: SparsePiece[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    const pos = numbers[i] ?? '';
    const length = numbers[i + 1] ?? '';
    if (!DECIMAL.test(pos) || !DECIMAL.test(length)) return undefined;
    pieces.push({ pos: Number(pos), length: Number(length) });
  }
  return pieces;
}

/**
 * The map of format 1.0, which precedes the data.
 * @param read bytes of the member from a position; short at its end
 * @returns the pieces and the length of the map with its padding
 */
export function mapFromData(read: (from: number, length: number) => Buffer, size: number): { pieces: SparsePiece[]; bytes: number } | undefined {
  let text = '';
  let from = 0;
  const lines: string[] = [];
  let wanted = 1;
  while (lines.length < wanted) {
    const newline = text.indexOf('\n');
    if (newline < 0) {
      if (from >= size || text.length > 32) return undefined;
      const more = read(from, Math.min(65_536, size - from));
      if (more.length === 0) return undefined;
      from += more.length;
      text += more.toString('latin1');
      continue;
    }
    const line = text.slice(0, newline);
    if (!DECIMAL.test(line)) return undefined;
    if (lines.length === 0) {
      // Each piece takes four bytes of map at least.
      if (Number(line) > size / 4) return undefined;
      wanted = 1 + 2 * Number(line);
    }
    lines.push(line);
    text = text.slice(newline + 1);
    // A long map: take the lines in one go rather than cutting the text line by line.
    if (lines.length < wanted && text.length > 1024) {
      const all = text.split('\n');
      text = all.pop() ?? '';
      for (let i = 0; i < all.length; i++) {
        if (lines.length === wanted) break;
        lines.push(all[i] ?? '');
      }
    }
  }
  const pieces = piecesOf(lines.slice(1));
  if (pieces === undefined) return undefined;
  const length = lines.reduce((sum, line) => sum + line.length + 1, 0);
  return { pieces, bytes: Math.ceil(length / BLOCK) * BLOCK };
}

/** Four (in a header) or 21 (in an extension block) pairs of 12-byte numbers of the old GNU format. */
export function mapFromOldGnu(bytes: Buffer, count: number): SparsePiece[] | undefined {
  const pieces: SparsePiece[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * 24;
    if ((bytes[at + 12] ?? 0) === 0 && (bytes[at] ?? 0) === 0) break;
    const pos = readNumber(bytes.subarray(at, at + 12));
    const length = readNumber(bytes.subarray(at + 12, at + 24));
    if (!Number.isSafeInteger(pos) || !Number.isSafeInteger(length)) return undefined;
    pieces.push({ pos, length });
  }
  return pieces;
}

/** Where each piece is in the archive. @returns undefined when the map does not hold (see the head) */
export function placePieces(pieces: readonly SparsePiece[], fileSize: number, at: number, dataBytes: number): DataRun[] | undefined {
  const runs: DataRun[] = [];
  let end = 0;
  let used = 0;
  for (const { pos, length } of pieces) {
    if (pos < end || pos + length > fileSize) return undefined;
    end = pos + length;
    if (length > 0) runs.push({ pos, length, at: at + used });
    used += length;
  }
  return used <= dataBytes ? runs : undefined;
}

/** The map that format 1.0 writes before the data, padded to whole blocks. */
export function encodeMap(pieces: readonly SparsePiece[]): Buffer {
  const lines = [String(pieces.length)];
  for (const { pos, length } of pieces) lines.push(String(pos), String(length));
  const text = `${lines.join('\n')}\n`;
  const bytes = Buffer.alloc(Math.ceil(text.length / BLOCK) * BLOCK);
  bytes.write(text, 'latin1');
  return bytes;
}
