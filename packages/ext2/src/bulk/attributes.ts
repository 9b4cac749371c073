/**
 * The extended attributes of a new inode: in its own area as far as they fit, the rest in a block, which inodes with the
 * same rest share.
 */
import { FsError, type Io } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import { Ext2XattrHeader, XATTR_REFCOUNT_MAX } from '../ondisk.js';
import { encodeIbody, encodeXattrBlock, fitsBlock, fitsIbody, type XattrItem } from '../xattr-codec.js';
import { isAcl, setAcl, storedName } from '../xattr.js';
import type { Stage } from './stage.js';

/** A block that was given out, with the count of inodes that it has so far. */
interface SharedBlock {
  readonly block: number;
  readonly bytes: Uint8Array;
  refs: number;
}

/** Bytes of shared blocks that are kept for comparing. */
const KEPT_BYTES = 16 * 2 ** 20;

/** What an inode's attributes come to. */
export interface StoredAttributes {
  readonly ibody: Uint8Array | undefined;
  /** 0 = none. */
  readonly block: number;
  /** The inode's mode; an access ACL sets it. */
  readonly mode: number;
}

export class AttributeWriter {
  /** A block was used: the filesystem needs `ext_attr`. */
  usesBlocks = false;
  readonly #stage: Stage;
  readonly #blockSize: number;
  /** Bytes of an inode's own area. */
  readonly #room: number;
  readonly #byHash = new Map<number, SharedBlock>();

  constructor(stage: Stage, options: { readonly blockSize: number; readonly room: number }) {
    this.#stage = stage;
    this.#blockSize = options.blockSize;
    this.#room = options.room;
  }

  /**
   * Stores attributes.
   * @param failed called for one that the format cannot hold
   */
  *store(
    inode: { readonly mode: number; readonly isDirectory: boolean },
    xattrs: ReadonlyMap<Name, Uint8Array>,
    failed: (name: Name, error: FsError) => void,
  ): Io<StoredAttributes> {
    const target = { mode: inode.mode, isDirectory: inode.isDirectory };
    const ibody: XattrItem[] = [];
    const block: XattrItem[] = [];
    for (const [name, value] of [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      try {
        const key = storedName(name);
        const stored = isAcl(key) ? setAcl(target, key, value) : value;
        if (stored === undefined) continue;
        const item: XattrItem = { ...key, value: stored };
        if (fitsIbody([...ibody, item], this.#room)) ibody.push(item);
        else if (fitsBlock([...block, item], this.#blockSize)) block.push(item);
        else throw new FsError('ENOSPC', { why: 'the attributes do not fit' });
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        failed(name, error);
      }
    }
    return {
      ibody: ibody.length === 0 ? undefined : encodeIbody(ibody, this.#room),
      block: block.length === 0 ? 0 : yield* this.#shared(block),
      mode: target.mode,
    };
  }

  *#shared(items: readonly XattrItem[]): Io<number> {
    const { bytes, hash } = encodeXattrBlock(items, this.#blockSize);
    const known = hash === 0 ? undefined : this.#byHash.get(hash);
    if (known !== undefined && known.refs < XATTR_REFCOUNT_MAX && isEqual(known.bytes, bytes)) {
      known.refs++;
      return known.block;
    }
    if (known !== undefined) yield* this.#settle(known);
    const made: SharedBlock = { block: yield* this.#stage.one(), bytes, refs: 1 };
    this.usesBlocks = true;
    yield* this.#stage.patch(made.block, bytes);
    if (hash !== 0) {
      this.#byHash.set(hash, made);
      if (this.#byHash.size * this.#blockSize > KEPT_BYTES) yield* this.finish();
    }
    return made.block;
  }

  /** Writes the count of a block that got more inodes since. */
  *#settle(shared: SharedBlock): Io<void> {
    if (shared.refs === 1) return;
    Ext2XattrHeader.at(shared.bytes).h_refcount = shared.refs;
    yield* this.#stage.patch(shared.block, shared.bytes);
  }

  /** Writes all counts; nothing that came before is shared any more. */
  *finish(): Io<void> {
    for (const shared of this.#byHash.values()) yield* this.#settle(shared);
    this.#byHash.clear();
  }
}

/** Equal but for the count of references. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 8; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
