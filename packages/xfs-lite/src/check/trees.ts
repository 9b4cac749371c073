/** Walks over whole btrees of a group: every block's place, level, owner, keys and siblings. */
import { corrupt, type Io } from '@iomap/io';
import { NULL_AGBLOCK } from '../ondisk.js';
import { BTREE_SHORT_V4_BYTES, BtreeShort, type BtreeKind } from '../ondisk-trees.js';
import { agbToFsb, agLength } from '../super.js';
import { checkOwner } from '../verify.js';
import type { Volume } from '../volume.js';

type ShortKind = Exclude<BtreeKind, 'bmap'>;

interface Widths {
  readonly record: number;
  /** Bytes of the keys of a child: low and high where trees overlap. */
  readonly keys: number;
  /** Bytes of the low key that are those of the first record, or key, below. */
  readonly same: number;
}

const WIDTHS: Readonly<Record<ShortKind, Widths>> = {
  bno: { record: 8, keys: 8, same: 4 },
  cnt: { record: 8, keys: 8, same: 8 },
  ino: { record: 16, keys: 4, same: 4 },
  fino: { record: 16, keys: 4, same: 4 },
  rmap: { record: 24, keys: 40, same: 4 },
  refc: { record: 12, keys: 4, same: 4 },
};
const LEVELS_MAX = 9;

export interface TreePlace {
  readonly kind: ShortKind;
  readonly ag: number;
  readonly root: number;
  readonly levels: number;
}

export interface TreeVisitor {
  record(view: DataView, at: number): void;
  block(agb: number): void;
  /** Version 5: a block's LSN is at `at`. */
  lsn(view: DataView, at: number): void;
}

interface Todo {
  readonly agb: number;
  readonly level: number;
  /** The first words of its key; none for the root. */
  readonly key: number | undefined;
  readonly key2: number;
}

/** @throws FsError EUCLEAN, EBADMSG, EIO at the first block that is wrong */
export function* walkTree(vol: Volume, place: TreePlace, visitor: TreeVisitor): Io<void> {
  const { kind, ag, root, levels } = place;
  if (levels < 1 || levels > LEVELS_MAX) throw corrupt(`${kind} btree of ${levels} levels`, { block: root });
  const { info } = vol;
  const head = info.v5 ? BtreeShort.size : BTREE_SHORT_V4_BYTES;
  const { record: recordBytes, keys: keyBytes, same } = WIDTHS[kind];
  const seen = new Set<number>();
  const lastOf = new Map<number, { agb: number; right: number }>();
  const todo: Todo[] = [{ agb: root, level: levels - 1, key: undefined, key2: 0 }];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { agb, level } = at;
    if (agb === 0 || agb >= agLength(info, ag) || seen.has(agb)) throw corrupt(`${kind} btree points at a block twice, or outside its group`, { block: agb });
    seen.add(agb);
    visitor.block(agb);
    const buf = yield* vol.reading(() => vol.needFsb(agbToFsb(info, ag, agb), vol.ops.trees[kind]));
    const { view } = buf;
    const count = view.getUint16(6);
    const max = Math.floor((info.blockSize - head) / (level === 0 ? recordBytes : keyBytes + 4));
    if (view.getUint16(4) !== level || count > max || (count === 0 && levels > 1)) {
      throw corrupt(`${kind} btree block with level ${view.getUint16(4)} and ${count} records`, { block: agb });
    }
    if (info.v5) {
      checkOwner(view.getUint32(BtreeShort.offsets.bb_owner), ag, buf.pos, `${kind} btree block`);
      visitor.lsn(view, BtreeShort.offsets.bb_lsn);
    }
    if (at.key !== undefined && (view.getUint32(head) !== at.key || (same === 8 && view.getUint32(head + 4) !== at.key2))) {
      throw corrupt(`a key of a ${kind} btree is not that of its block`, { block: agb });
    }
    // From left to right, a level's blocks name each other.
    const before = lastOf.get(level);
    if (view.getUint32(8) !== (before?.agb ?? NULL_AGBLOCK) || (before !== undefined && before.right !== agb)) {
      throw corrupt(`${kind} btree siblings`, { block: agb });
    }
    lastOf.set(level, { agb, right: view.getUint32(12) });
    if (level === 0) {
      for (let i = 0; i < count; i++) visitor.record(view, head + i * recordBytes);
    } else {
      const pointers = head + max * keyBytes;
      for (let i = count - 1; i >= 0; i--) {
        const key = head + i * keyBytes;
        todo.push({ agb: view.getUint32(pointers + i * 4), level: level - 1, key: view.getUint32(key), key2: same === 8 ? view.getUint32(key + 4) : 0 });
      }
    }
  }
  for (const { agb, right } of lastOf.values()) if (right !== NULL_AGBLOCK) throw corrupt(`${kind} btree siblings`, { block: agb });
}
