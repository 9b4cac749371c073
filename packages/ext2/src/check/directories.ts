/**
 * Pass 2: the entries of every directory, in the order of their blocks on the device.
 *
 * A name that occurs twice is found by a hash of its bytes and confirmed by comparing; a directory is held in memory
 * one block at
 * a time, with one number per entry.
 */
import type { Io } from '@iomap/io';

import { FT_DIR, recLenFromDisk, ROOT_INO } from '../ondisk.js';
import { checkIndex } from './dir-index.js';
import { KIND_BAD, KIND_TYPE, type CheckState, type DirRecord } from './state.js';

const HEAD = 8;
const DOT = 0x2e;
const SLASH = 0x2f;

/** FNV-1a over a name, with its length: equal names have equal keys. */
function nameKey(bytes: Uint8Array, at: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (bytes[at + i] ?? 0), 0x01000193);
  return (hash >>> 0) * 256 + length;
}

const nameText = (bytes: Uint8Array, at: number, length: number): string => {
  let text = '';
  for (let i = 0; i < length; i++) text += String.fromCharCode(bytes[at + i] ?? 0);
  return text;
};

export class DirectoryPass {
  readonly #state: CheckState;
  /** One block and one set of names for all directories. */
  readonly #block: Uint8Array;
  readonly #data: DataView;
  readonly #keys = new Set<number>();

  constructor(state: CheckState) {
    this.#state = state;
    this.#block = new Uint8Array(state.geometry.blockSize);
    this.#data = new DataView(this.#block.buffer, this.#block.byteOffset, this.#block.byteLength);
  }

  *run(): Io<void> {
    const dirs = [...this.#state.dirs.values()].sort((a, b) => (a.blocks[1] ?? 0) - (b.blocks[1] ?? 0));
    for (const dir of dirs) yield* this.#checkDir(dir);
  }

  *#checkDir(dir: DirRecord): Io<void> {
    const { findings } = this.#state;
    const bytes = this.#block;
    const keys = this.#keys;
    keys.clear();
    const twice = new Set<number>();
    let next = 0;
    for (let i = 0; i < dir.blocks.length; i += 2) {
      const logical = dir.blocks[i] ?? 0;
      if (logical !== next)
        findings.error('directory', 'dir-hole', `blocks ${next} to ${logical - 1} are missing`, { ino: dir.ino });
      next = logical + 1;
      yield* this.#state.readBlocks(dir.blocks[i + 1] ?? 0, bytes);
      this.#checkBlock(dir, { bytes, logical, keys, twice });
    }
    if (dir.blocks.length > 0 && dir.dotdot === 0)
      findings.error('directory', 'no-dotdot', "'..' is missing", { ino: dir.ino });
    if (twice.size > 0) yield* this.#confirmTwice(dir, twice, bytes);
    if (dir.indexed) yield* checkIndex(this.#state, dir);
  }

  #checkBlock(
    dir: DirRecord,
    block: { bytes: Uint8Array; logical: number; keys: Set<number>; twice: Set<number> },
  ): void {
    const { blockSize } = this.#state.geometry;
    const { bytes, logical } = block;
    const data = this.#data;
    const corrupt = (why: string): void =>
      this.#state.findings.error('directory', 'dir-corrupt', `block ${logical}: ${why}`, { ino: dir.ino });
    let index = 0;
    for (let at = 0; at < blockSize; index++) {
      if (at + HEAD > blockSize) return corrupt('an entry does not fit');
      const recLen = recLenFromDisk(data.getUint16(at + 4, true), blockSize);
      const nameLength = data.getUint8(at + 6);
      // The entries before the first of a block's end may be as short as a head; no name needs less than 12.
      const ok = recLen % 4 === 0 && recLen >= 12 && at + recLen <= blockSize && nameLength + HEAD <= recLen;
      if (!ok) return corrupt(`an entry of ${recLen} bytes with a name of ${nameLength} at ${at}`);
      const isDots = logical === 0 && index < 2;
      if (isDots) this.#checkDots(dir, { bytes, data, at, index, nameLength });
      else if (data.getUint32(at, true) !== 0) this.#checkEntry(dir, data, at, { ...block, nameLength });
      at += recLen;
    }
    if (logical === 0 && index < 2) corrupt("'.' and '..' are not there");
  }

  #checkDots(
    dir: DirRecord,
    entry: { bytes: Uint8Array; data: DataView; at: number; index: number; nameLength: number },
  ): void {
    const { bytes, data, at, index, nameLength } = entry;
    const { findings, geometry } = this.#state;
    const error = (code: string, message: string): void => findings.error('directory', code, message, { ino: dir.ino });
    const child = data.getUint32(at, true);
    const right = nameLength === index + 1 && bytes[at + HEAD] === DOT && (index === 0 || bytes[at + HEAD + 1] === DOT);
    if (right && bytes[at + HEAD + index + 1] !== 0)
      error('dots-padding', `the name of entry ${index} does not end with a NUL`);
    if (!right || child === 0) error('no-dots', `entry ${index} is not '${index === 0 ? '.' : '..'}'`);
    if (child === 0) return;
    if (child > geometry.inodesCount) return error('entry-inode', `'${index === 0 ? '.' : '..'}' is inode ${child}`);
    if (index === 0 && child !== dir.ino) error('dot-inode', `'.' is inode ${child}`);
    this.#checkFileType(dir, data, at, child);
    if (index === 1) dir.dotdot = child;
    this.#state.countLink(index === 0 ? dir.ino : child);
  }

  #checkEntry(
    dir: DirRecord,
    data: DataView,
    at: number,
    entry: { bytes: Uint8Array; nameLength: number; keys: Set<number>; twice: Set<number> },
  ): void {
    const { findings, geometry, stats } = this.#state;
    const { bytes, nameLength } = entry;
    stats.entries++;
    const child = data.getUint32(at, true);
    const error = (code: string, message: string): void =>
      findings.error('directory', code, `'${nameText(bytes, at + HEAD, nameLength)}' ${message}`, { ino: dir.ino });
    if (nameLength === 0) error('name-empty', 'has no name');
    for (let i = 0; i < nameLength; i++) {
      const byte = bytes[at + HEAD + i];
      if (byte === 0 || byte === SLASH) {
        error('name-character', 'has a NUL or a slash in its name');
        break;
      }
    }
    if (nameLength <= 2 && bytes[at + HEAD] === DOT && (nameLength === 1 || bytes[at + HEAD + 1] === DOT))
      error('dots-again', 'is not the first of its kind');
    const key = nameKey(bytes, at + HEAD, nameLength);
    if (entry.keys.has(key)) entry.twice.add(key);
    else entry.keys.add(key);
    const reserved = child < geometry.firstIno && child !== ROOT_INO;
    if (child > geometry.inodesCount || reserved) return error('entry-inode', `is inode ${child}`);
    if (child === ROOT_INO) return error('entry-root', 'is the root directory');
    const kind = this.#state.kindOf(child);
    if (kind === 0) return error('entry-unused', `is inode ${child}, which is not in use`);
    this.#checkFileType(dir, data, at, child);
    if ((kind & KIND_BAD) !== 0) error('entry-bad-inode', `is inode ${child}, which is damaged`);
    this.#state.countLink(child);
    if (findings.inos.has(child) && !this.#state.names.has(child)) {
      this.#state.names.set(child, { parent: dir.ino, name: nameText(bytes, at + HEAD, nameLength) });
    }
    if ((kind & KIND_TYPE) !== FT_DIR) return;
    const record = this.#state.dirs.get(child);
    if (record === undefined) return;
    if (record.parent !== 0 || child === dir.ino) error('dir-linked-twice', `is a second name of directory ${child}`);
    else {
      record.parent = dir.ino;
      record.name = nameText(bytes, at + HEAD, nameLength);
    }
  }

  #checkFileType(dir: DirRecord, data: DataView, at: number, child: number): void {
    const { geometry, findings } = this.#state;
    const stored = data.getUint8(at + 7);
    const type = this.#state.kindOf(child) & KIND_TYPE;
    const right = geometry.filetype ? stored === type || this.#state.kindOf(child) === 0 : stored === 0;
    if (!right && stored === 0) {
      findings.warning('directory', 'entry-type-unknown', `the entry of inode ${child} has no file type`, {
        ino: dir.ino,
      });
    } else if (!right)
      findings.error('directory', 'entry-type', `the entry of inode ${child} has file type ${stored}`, {
        ino: dir.ino,
      });
  }

  /** Second reading of a directory in which names may be doubled. */
  *#confirmTwice(dir: DirRecord, keys: ReadonlySet<number>, bytes: Uint8Array): Io<void> {
    const { blockSize } = this.#state.geometry;
    const names = new Set<string>();
    const data = this.#data;
    for (let i = 0; i < dir.blocks.length; i += 2) {
      yield* this.#state.readBlocks(dir.blocks[i + 1] ?? 0, bytes);
      for (let at = 0; at + HEAD <= blockSize;) {
        const recLen = recLenFromDisk(data.getUint16(at + 4, true), blockSize);
        const nameLength = data.getUint8(at + 6);
        if (recLen < 12 || recLen % 4 !== 0 || at + recLen > blockSize || nameLength + HEAD > recLen) break;
        if (data.getUint32(at, true) !== 0 && keys.has(nameKey(bytes, at + HEAD, nameLength))) {
          const name = nameText(bytes, at + HEAD, nameLength);
          if (names.has(name))
            this.#state.findings.error('directory', 'name-twice', `'${name}' is there twice`, { ino: dir.ino });
          names.add(name);
        }
        at += recLen;
      }
    }
  }
}
