/** Walks the whole hashed tree of a directory or of attributes: levels, order of hashes, keys against blocks, neighbours. */
import { corrupt, type FsError, type Io } from '@iomap/io';
import { DA_MAGIC, DA_NODE } from '../ondisk-trees.js';

const DEPTH_MAX = 5;

export interface DaBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly pos: number;
}

export interface DaWalk {
  readonly ino: number;
  readonly v5: boolean;
  /** File block of the root, which may be a leaf. */
  readonly root: number;
  /** Reads a block, verified; good until the next is read. */
  readonly read: (fileBlock: number) => Io<DaBlock>;
  /** Takes a leaf; answers its last hash, -1 = it has no entries. */
  readonly leaf: (block: DaBlock, magic: number) => number;
}

/**
 * Answers how many blocks the tree has.
 * @throws FsError EUCLEAN, EBADMSG, EIO at the first block that is wrong
 */
export function* walkDaTree({ ino, v5, root, read, leaf }: DaWalk): Io<number> {
  const v = v5 ? 1 : 0;
  const bad = (why: string, field: string): FsError => corrupt(why, { ino, field });
  const todo: { fileBlock: number; level: number; hash: number }[] = [{ fileBlock: root, level: -1, hash: -1 }];
  const before: ({ fileBlock: number; forw: number } | undefined)[] = [];
  const seen = new Set<number>();
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { fileBlock } = next;
    if (seen.has(fileBlock)) throw bad('a hash tree points at a block twice', 'before');
    seen.add(fileBlock);
    const block = yield* read(fileBlock);
    const { view, bytes } = block;
    const magic = view.getUint16(8);
    const isNode = magic === DA_MAGIC.node[v];
    const level = isNode ? view.getUint16(DA_NODE.level[v]) : 0;
    if ((next.level >= 0 && level !== next.level) || (isNode && (level < 1 || level > DEPTH_MAX))) throw bad(`a block of a hash tree with level ${level}`, 'level');
    const last = before[level];
    if (view.getUint32(4) !== (last?.fileBlock ?? 0) || (last !== undefined && last.forw !== fileBlock)) throw bad('neighbours in a hash tree', 'back');
    before[level] = { fileBlock, forw: view.getUint32(0) };
    let end = -1;
    if (isNode) {
      const count = view.getUint16(DA_NODE.count[v]);
      const entries = DA_NODE.entries[v];
      if (count === 0 || entries + count * 8 > bytes.length) throw bad(`a block of a hash tree with ${count} entries`, 'count');
      for (let i = count - 1; i >= 0; i--) todo.push({ fileBlock: view.getUint32(entries + i * 8 + 4), level: level - 1, hash: view.getUint32(entries + i * 8) });
      for (let i = 0; i < count; i++) {
        const hash = view.getUint32(entries + i * 8);
        if (hash < end) throw bad('hashes of a tree are out of order', 'hashval');
        end = hash;
      }
    } else {
      end = leaf(block, magic);
    }
    if (next.hash >= 0 && end >= 0 && end !== next.hash) throw bad('a hash tree names another last hash than its block has', 'hashval');
  }
  for (const last of before) if (last !== undefined && last.forw !== 0) throw bad('neighbours in a hash tree', 'forw');
  return seen.size;
}
