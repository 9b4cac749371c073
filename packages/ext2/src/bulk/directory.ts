/**
 * The blocks of a new directory: entries packed one behind another; with an index (htree) over leaves in the order of the
 * hash when they need more than one block.
 *
 * The index is the one of htree.ts: a root in block 0, one level of index blocks below when the root does not hold all
 * leaves. A directory too large for that stays linear, which every reader understands.
 */
import { setRecLen, writeEntry, type EntryBytes, type NewEntry } from '../dir-block.js';
import { dxHash } from '../hash.js';
import { dirRecLen, Ext2DxNode, Ext2DxRoot, FT_DIR, HASH_HALF_MD4 } from '../ondisk.js';

const ROOT_ENTRIES = Ext2DxRoot.offsets.limit;
const NODE_ENTRIES = Ext2DxNode.offsets.limit;
const INDEX_ENTRY = 8;
const INFO_LENGTH = 8;
/** '.' and '..'. */
const DOTS_BYTES = 24;

export interface DirectoryFormat {
  readonly blockSize: number;
  readonly filetype: boolean;
  readonly index: boolean;
  /** Four words. */
  readonly hashSeed: readonly number[];
}

export interface DirectoryContent {
  readonly ino: number;
  readonly parent: number;
  /** Without '.' and '..'; types are zero without `filetype`. */
  readonly entries: readonly NewEntry[];
  /** At least so many blocks. */
  readonly blocksMin: number;
  /** Never with an index. */
  readonly linear?: boolean;
}

export interface DirectoryBlocks {
  /** Whole blocks; die at the next directory. */
  readonly bytes: Uint8Array;
  readonly indexed: boolean;
}

/** Blocks of a directory with these names (by length) without an index. */
export function linearBlocks(lengths: Iterable<number>, blockSize: number): number {
  let blocks = 1;
  let used = DOTS_BYTES;
  for (const length of lengths) {
    const bytes = dirRecLen(length);
    if (used + bytes > blockSize) {
      blocks++;
      used = 0;
    }
    used += bytes;
  }
  return blocks;
}

/** Makes directories, in memory that they share. */
export class DirectoryWriter {
  readonly #format: DirectoryFormat;
  #out: EntryBytes;

  constructor(format: DirectoryFormat) {
    this.#format = format;
    this.#out = newBytes(16 * format.blockSize);
  }

  make(content: DirectoryContent): DirectoryBlocks {
    const { blockSize } = this.#format;
    const needed = linearBlocks(content.entries.map(({ name }) => name.length), blockSize);
    if (needed > 1 && this.#format.index && content.linear !== true) {
      const indexed = this.#indexed(content);
      if (indexed !== undefined) return { bytes: indexed, indexed: true };
    }
    const blocks = Math.max(needed, content.blocksMin);
    this.#clear(blocks);
    this.#dots(content, DOTS_BYTES - 12);
    this.#pack(content.entries, 0, DOTS_BYTES);
    for (let block = needed; block < blocks; block++) setRecLen(this.#out, block * blockSize, blockSize);
    return { bytes: this.#out.bytes.subarray(0, blocks * blockSize), indexed: false };
  }

  #clear(blocks: number): void {
    const length = blocks * this.#format.blockSize;
    if (this.#out.bytes.length < length) this.#out = newBytes(Math.max(length, 2 * this.#out.bytes.length));
    else this.#out.bytes.fill(0, 0, length);
  }

  #dots(content: DirectoryContent, dotdotBytes: number): void {
    const fileType = this.#format.filetype ? FT_DIR : 0;
    writeEntry(this.#out, 0, 12, { name: '.', ino: content.ino, fileType });
    writeEntry(this.#out, 12, dotdotBytes, { name: '..', ino: content.parent, fileType });
  }

  /** Writes entries from `from` in block `block` on; the last of each block has its rest. */
  #pack(entries: readonly NewEntry[], block: number, from: number): void {
    const { blockSize } = this.#format;
    const out = this.#out;
    let base = block * blockSize;
    let used = from;
    // The entry that would take the block's rest; the dots' second where there is none.
    let last = base + 12;
    for (const entry of entries) {
      const bytes = dirRecLen(entry.name.length);
      if (used + bytes > blockSize) {
        setRecLen(out, last, base + blockSize - last);
        base += blockSize;
        used = 0;
      }
      last = base + used;
      writeEntry(out, last, bytes, entry);
      used += bytes;
    }
    setRecLen(out, last, base + blockSize - last);
  }

  /** @returns undefined when there are more leaves than two levels hold */
  #indexed(content: DirectoryContent): Uint8Array | undefined {
    const { blockSize, hashSeed } = this.#format;
    const hashed = content.entries.map((entry) => ({ entry, hash: dxHash(entry.name, HASH_HALF_MD4, hashSeed)?.hash ?? 0 }));
    hashed.sort((a, b) => a.hash - b.hash || (a.entry.name < b.entry.name ? -1 : 1));
    const leaves: { hash: number; entries: NewEntry[] }[] = [];
    let leaf: { hash: number; entries: NewEntry[] } = { hash: 0, entries: [] };
    let used = blockSize;
    let before = -1;
    for (const { entry, hash } of hashed) {
      const bytes = dirRecLen(entry.name.length);
      if (used + bytes > blockSize) {
        // The lowest bit says that the leaf goes on with the hash of the one before it.
        leaf = { hash: hash + (hash === before ? 1 : 0), entries: [] };
        leaves.push(leaf);
        used = 0;
      }
      leaf.entries.push(entry);
      used += bytes;
      before = hash;
    }
    const rootLimit = (blockSize - ROOT_ENTRIES) / INDEX_ENTRY;
    const nodeLimit = (blockSize - NODE_ENTRIES) / INDEX_ENTRY;
    const nodes = leaves.length <= rootLimit ? 0 : Math.ceil(leaves.length / nodeLimit);
    if (nodes > rootLimit) return undefined;
    const blocks = 1 + nodes + leaves.length;
    this.#clear(blocks);
    this.#dots(content, blockSize - 12);
    const root = Ext2DxRoot.at(this.#out.bytes);
    root.hash_version = HASH_HALF_MD4;
    root.info_length = INFO_LENGTH;
    root.indirect_levels = nodes === 0 ? 0 : 1;
    const firstLeaf = 1 + nodes;
    leaves.forEach(({ entries }, i) => {
      const at = (firstLeaf + i) * blockSize;
      let end = at;
      for (const entry of entries) {
        const bytes = dirRecLen(entry.name.length);
        writeEntry(this.#out, end, bytes, entry);
        end += bytes;
      }
      const tail = entries[entries.length - 1];
      if (tail !== undefined) {
        const last = end - dirRecLen(tail.name.length);
        setRecLen(this.#out, last, at + blockSize - last);
      }
    });
    const leafRefs = leaves.map(({ hash }, i) => ({ hash, block: firstLeaf + i }));
    if (nodes === 0) {
      this.#index(ROOT_ENTRIES, rootLimit, leafRefs);
    } else {
      const nodeRefs: IndexRef[] = [];
      for (let node = 0; node < nodes; node++) {
        const part = leafRefs.slice(node * nodeLimit, (node + 1) * nodeLimit);
        setRecLen(this.#out, (1 + node) * blockSize, blockSize);
        this.#index((1 + node) * blockSize + NODE_ENTRIES, nodeLimit, part);
        nodeRefs.push({ hash: part[0]?.hash ?? 0, block: 1 + node });
      }
      this.#index(ROOT_ENTRIES, rootLimit, nodeRefs);
    }
    return this.#out.bytes.subarray(0, blocks * blockSize);
  }

  /** The entries of one index block; the first has limit and count in the place of its hash. */
  #index(base: number, limit: number, refs: readonly IndexRef[]): void {
    const { view } = this.#out;
    refs.forEach(({ hash, block }, i) => {
      view.setUint32(base + i * INDEX_ENTRY, hash, true);
      view.setUint32(base + i * INDEX_ENTRY + 4, block, true);
    });
    view.setUint16(base, limit, true);
    view.setUint16(base + 2, refs.length, true);
  }
}

interface IndexRef {
  readonly hash: number;
  readonly block: number;
}

function newBytes(length: number): EntryBytes {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}
