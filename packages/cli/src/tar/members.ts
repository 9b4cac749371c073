/**
 * The members of a tar archive that can be read at any position: ustar, PAX, GNU long names and sparse files, v7.
 *
 * An archive is hostile: every length is checked against the archive's size before it is believed, and extended headers
 * have a limit. A damaged archive ends in one CommandError that says where.
 */
import type { Name } from '@iomap/vfs';
import { CommandError } from '../errors.js';
import type { DataRun } from '../source/source.js';
import { BLOCK, decodeHeader, isZeroBlock, padding, type TarHeader } from './header.js';
import { decodePax, type PaxRecord } from './pax.js';
import { mapFromData, mapFromOldGnu, mapFromRecords, placePieces, type SparsePiece } from './sparse.js';

/** An archive: bytes at a position; short only at its end. */
export interface ByteReader {
  readonly sizeBytes: number;
  /** Fills `bytes`; the answer is how many there were. */
  read(pos: number, bytes: Uint8Array): number;
}

export interface TarMember {
  readonly header: TarHeader;
  readonly name: Name;
  readonly linkName: Name;
  /** The size of the file, holes included. */
  readonly size: number;
  readonly runs: readonly DataRun[];
  /** The PAX records that hold for it, the global ones first. */
  readonly records: ReadonlyMap<string, Name>;
}

/** The longest extended header or long name. */
const EXTENDED_MAX = 32 * 1024 * 1024;

class Cursor {
  pos = 0;
  constructor(
    private readonly archive: ByteReader,
    private readonly name: string,
  ) {}

  damaged(what: string): CommandError {
    return new CommandError('EINVAL', `${what}, at byte ${this.pos}`, { image: this.name });
  }

  bytes(length: number): Buffer {
    if (this.pos + length > this.archive.sizeBytes) throw this.damaged('the archive ends too early');
    const bytes = Buffer.alloc(length);
    if (this.archive.read(this.pos, bytes) !== length) throw this.damaged('the archive ends too early');
    this.pos += length;
    return bytes;
  }

  /** Data of an extended header, its padding skipped. */
  extended(size: number): Buffer {
    if (size > EXTENDED_MAX) throw this.damaged('an extended header is too long');
    const bytes = this.bytes(size);
    this.pos += padding(size);
    return bytes;
  }

  /** Data of `length` bytes must follow. */
  need(length: number): void {
    if (this.pos + length > this.archive.sizeBytes) throw this.damaged('the archive ends too early');
  }

  /** Steps over data and its padding. */
  skip(length: number): void {
    this.pos += length + padding(length);
  }

  get ended(): boolean {
    return this.pos + BLOCK > this.archive.sizeBytes;
  }

  peekData(at: number, size: number): (from: number, length: number) => Buffer {
    return (from, length) => {
      const bytes = Buffer.alloc(Math.min(length, size - from));
      return bytes.subarray(0, this.archive.read(at + from, bytes));
    };
  }
}

const untilNul = (bytes: Buffer): Name => {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
};

/** What extended headers have said for the next member. */
interface Pending {
  longName: Name | undefined;
  longLink: Name | undefined;
  records: PaxRecord[];
}

/** Calls `visit` for every member in order. @throws CommandError EINVAL when this is no tar archive or it is damaged */
export function readMembers(archive: ByteReader, archiveName: string, visit: (member: TarMember) => void): void {
  const cursor = new Cursor(archive, archiveName);
  const globals = new Map<string, Name>();
  let pending: Pending = { longName: undefined, longLink: undefined, records: [] };
  let members = 0;
  for (;;) {
    if (cursor.ended) {
      // Archives without their end mark are common enough; an empty file is no archive.
      if (members === 0) throw cursor.damaged(archive.sizeBytes === 0 ? 'empty: not a tar archive' : 'not a tar archive');
      return;
    }
    const start = cursor.pos;
    const block = cursor.bytes(BLOCK);
    if (isZeroBlock(block)) return;
    const header = decodeHeader(block);
    if (header === undefined) {
      cursor.pos = start;
      throw cursor.damaged(members === 0 && start === 0 ? notTar(block) : 'a damaged tar header');
    }
    members++;
    switch (header.type) {
      case 'x':
      case 'X':
      case 'g': {
        const records = decodePax(cursor.extended(header.size));
        if (records === undefined) throw cursor.damaged('a damaged PAX header');
        if (header.type === 'g') for (const { key, value } of records) globals.set(key, value);
        else pending.records.push(...records);
        break;
      }
      case 'L':
        pending.longName = untilNul(cursor.extended(header.size));
        break;
      case 'K':
        pending.longLink = untilNul(cursor.extended(header.size));
        break;
      default:
        visit(memberOf(cursor, header, block, globals, pending));
        pending = { longName: undefined, longLink: undefined, records: [] };
    }
  }
}

function notTar(block: Buffer): string {
  const packed: [string, number[]][] = [
    ['gzip', [0x1f, 0x8b]],
    ['xz', [0xfd, 0x37, 0x7a]],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
    ['bzip2', [0x42, 0x5a, 0x68]],
  ];
  const hit = packed.find(([, magic]) => magic.every((byte, i) => block[i] === byte));
  return hit === undefined ? 'not a tar archive' : `compressed with ${hit[0]}: unpack it first and give the tar, as in \`${hit[0]} -dc FILE | iomap build … -\``;
}

/** Types whose header's size field says nothing about data. */
const WITHOUT_DATA = new Set(['1', '2', '3', '4', '5', '6']);

function memberOf(
  cursor: Cursor,
  stated: TarHeader,
  block: Buffer,
  globals: ReadonlyMap<string, Name>,
  pending: Pending,
): TarMember {
  const records = new Map(globals);
  for (const { key, value } of pending.records) {
    // An empty value takes back a global one.
    if (value === '' && !key.includes('xattr')) records.delete(key);
    else records.set(key, value);
  }
  const name = records.get('GNU.sparse.name') ?? records.get('path') ?? pending.longName ?? stated.name;
  // Old archives say a directory so. It is the whole name that counts: a header's own may be cut at any of its slashes.
  const header = stated.type === '0' && name.endsWith('/') ? { ...stated, type: '5' } : stated;
  const stored = storedSize(cursor, header, records);
  let sparse: { pieces: SparsePiece[]; size: number; mapBytes: number } | undefined;
  if (header.type === 'S') sparse = oldGnuMap(cursor, block);
  const at = cursor.pos;
  cursor.need(stored);
  sparse ??= paxSparse(cursor, pending.records, records, at, stored);
  const size = sparse?.size ?? stored;
  const mapBytes = sparse?.mapBytes ?? 0;
  const pieces = sparse?.pieces ?? (stored > 0 ? [{ pos: 0, length: stored }] : []);
  const runs = placePieces(pieces, size, at + mapBytes, stored - mapBytes);
  if (runs === undefined) throw cursor.damaged('a damaged sparse map');
  cursor.skip(stored);
  return {
    header,
    name,
    linkName: records.get('linkpath') ?? pending.longLink ?? header.linkName,
    size,
    runs,
    records,
  };
}

function storedSize(cursor: Cursor, header: TarHeader, records: ReadonlyMap<string, Name>): number {
  if (WITHOUT_DATA.has(header.type)) return 0;
  const text = records.get('size');
  if (text === undefined) return header.size;
  if (!/^[0-9]{1,16}$/.test(text)) throw cursor.damaged('a damaged size');
  return Number(text);
}

const decimal = (text: Name | undefined): number | undefined =>
  text !== undefined && /^[0-9]{1,16}$/.test(text) ? Number(text) : undefined;

function paxSparse(
  cursor: Cursor,
  own: readonly PaxRecord[],
  records: ReadonlyMap<string, Name>,
  at: number,
  stored: number,
): { pieces: SparsePiece[]; size: number; mapBytes: number } | undefined {
  if (records.get('GNU.sparse.major') === '1' && records.get('GNU.sparse.minor') === '0') {
    const size = decimal(records.get('GNU.sparse.realsize'));
    const map = mapFromData(cursor.peekData(at, stored), stored);
    if (size === undefined || map === undefined || map.bytes > stored) throw cursor.damaged('a damaged sparse map');
    return { pieces: map.pieces, size, mapBytes: map.bytes };
  }
  const size = decimal(records.get('GNU.sparse.size'));
  if (size === undefined) return undefined;
  const pieces = mapFromRecords(own);
  if (pieces === undefined) throw cursor.damaged('a damaged sparse map');
  return { pieces, size, mapBytes: 0 };
}

/** Old GNU: four pairs in the header, then blocks of 21 while a flag says so. */
function oldGnuMap(cursor: Cursor, block: Buffer): { pieces: SparsePiece[]; size: number; mapBytes: number } {
  const pieces: SparsePiece[] = [];
  const take = (bytes: Buffer, count: number): void => {
    const more = mapFromOldGnu(bytes, count);
    if (more === undefined) throw cursor.damaged('a damaged sparse map');
    pieces.push(...more);
  };
  take(block.subarray(386, 386 + 96), 4);
  const size = parseInt(untilNul(block.subarray(483, 495)).trim() || '0', 8);
  let extended = block[482] === 1;
  while (extended) {
    const more = cursor.bytes(BLOCK);
    take(more.subarray(0, 504), 21);
    extended = more[504] === 1;
  }
  if (!Number.isSafeInteger(size)) throw cursor.damaged('a damaged size');
  return { pieces, size, mapBytes: 0 };
}
