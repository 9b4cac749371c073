/**
 * The hashed index of a directory: its root in block 0, interior nodes, and that every leaf holds the hashes that its
 * place says.
 *
 * Depth is bounded by the levels that the root says (at most 2), and a block is visited once (a second reference is a
 * finding).
 */
import type { Io } from '@iomap/io';

import { dxHash } from '../hash.js';
import { FLAGS_UNSIGNED_HASH, recLenFromDisk } from '../ondisk.js';
import type { CheckState, DirRecord } from './state.js';

const ROOT_ENTRIES = 32;
const NODE_ENTRIES = 8;
const ENTRY = 8;
const LEVELS_MAX = 2;
/** The last hash, which is reserved as the end of a directory. */
const HASH_END = 0xffffffff;

interface Walk {
  readonly state: CheckState;
  readonly dir: DirRecord;
  readonly map: ReadonlyMap<number, number>;
  readonly seen: Set<number>;
  readonly version: number;
  readonly seed: readonly number[];
  readonly levels: number;
  error(why: string): void;
}

/** Checks the index of `dir`. */
export function* checkIndex(state: CheckState, dir: DirRecord): Io<void> {
  const { geometry, superView, findings } = state;
  const error = (why: string): void => findings.error('directory-index', 'index', why, { ino: dir.ino });
  const map = new Map<number, number>();
  for (let i = 0; i < dir.blocks.length; i += 2) map.set(dir.blocks[i] ?? 0, dir.blocks[i + 1] ?? 0);
  const rootBlock = map.get(0);
  if (rootBlock === undefined) return error('the root block is missing');
  const bytes = new Uint8Array(geometry.blockSize);
  yield* state.readBlocks(rootBlock, bytes);
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hashVersion = data.getUint8(0x1c);
  const levels = data.getUint8(0x1e);
  if (data.getUint32(0x18, true) !== 0) return error('the reserved word is not zero');
  if (data.getUint8(0x1d) !== 8) return error(`the head is ${data.getUint8(0x1d)} bytes long`);
  if (hashVersion > 2) return error(`hash version ${hashVersion}`);
  if (levels > LEVELS_MAX) return error(`${levels} levels`);
  if ((data.getUint8(0x1f) & 1) !== 0) return error('unknown flags');
  const version = hashVersion + ((superView.s_flags & FLAGS_UNSIGNED_HASH) !== 0 ? 3 : 0);
  const walk: Walk = {
    state,
    dir,
    map,
    seen: new Set([0]),
    version,
    seed: superView.s_hash_seed.toArray(),
    levels,
    error,
  };
  yield* walkNode(walk, bytes, { from: ROOT_ENTRIES, level: levels, low: 0, high: HASH_END });
  for (const logical of map.keys()) if (!walk.seen.has(logical)) return error(`block ${logical} is not in the index`);
}

function* walkNode(
  walk: Walk,
  bytes: Uint8Array,
  node: { from: number; level: number; low: number; high: number },
): Io<void> {
  const { blockSize } = walk.state.geometry;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const limit = data.getUint16(node.from, true);
  const count = data.getUint16(node.from + 2, true);
  if (limit !== (blockSize - node.from) / ENTRY) return walk.error(`a node with a limit of ${limit}`);
  if (count === 0 || count > limit) return walk.error(`a node with ${count} entries`);
  let before = node.low;
  for (let i = 0; i < count; i++) {
    const at = node.from + i * ENTRY;
    const hash = i === 0 ? node.low : data.getUint32(at, true);
    const next = i + 1 < count ? data.getUint32(at + ENTRY, true) : node.high;
    if (hash < before) return walk.error('hashes are not in order');
    before = hash;
    const logical = data.getUint32(at + 4, true) % 2 ** 28;
    const block = walk.map.get(logical);
    if (block === undefined) {
      walk.error(`block ${logical} is not in the directory`);
      continue;
    }
    if (walk.seen.has(logical)) {
      walk.error(`block ${logical} is in the index twice`);
      continue;
    }
    walk.seen.add(logical);
    const child = new Uint8Array(blockSize);
    yield* walk.state.readBlocks(block, child);
    if (node.level > 0) {
      if (!isNode(child, blockSize)) walk.error(`block ${logical} is not an index node`);
      else yield* walkNode(walk, child, { from: NODE_ENTRIES, level: node.level - 1, low: hash, high: next });
    } else {
      checkLeaf(walk, child, { low: hash, high: next, logical });
    }
  }
}

/** An interior node looks like a block with one empty entry. */
const isNode = (bytes: Uint8Array, blockSize: number): boolean => {
  const data = new DataView(bytes.buffer, bytes.byteOffset, 8);
  return data.getUint32(0, true) === 0 && recLenFromDisk(data.getUint16(4, true), blockSize) === blockSize;
};

/** The lowest bit of a bound says that the leaf goes on with names of the same hash: it is not part of the order. */
const bound = (hash: number): number => hash - (hash % 2);

function checkLeaf(walk: Walk, bytes: Uint8Array, leaf: { low: number; high: number; logical: number }): void {
  const { blockSize } = walk.state.geometry;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const low = bound(leaf.low);
  // A name may equal the next leaf's first hash only where that leaf goes on with it (its lowest bit says so).
  const high = leaf.high === HASH_END || leaf.high % 2 === 1 ? leaf.high : leaf.high - 1;
  for (let at = 0; at + 8 <= blockSize;) {
    const recLen = recLenFromDisk(data.getUint16(at + 4, true), blockSize);
    const nameLength = data.getUint8(at + 6);
    if (recLen < 12 || at + recLen > blockSize || nameLength + 8 > recLen) return; // pass 2 said so
    if (data.getUint32(at, true) !== 0) {
      let name = '';
      for (let i = 0; i < nameLength; i++) name += String.fromCharCode(bytes[at + 8 + i] ?? 0);
      const hash = dxHash(name, walk.version, walk.seed)?.hash ?? 0;
      if (hash < low || hash > high) return walk.error(`'${name}' is in the wrong leaf (block ${leaf.logical})`);
    }
    at += recLen;
  }
}
