/**
 * Listing a directory in the order of its names' hashes, as Linux does where `dir_index` is on.
 *
 * The place of an entry is a number made of its name alone, so a cookie stays true whatever is inserted, removed or moved to
 * another block meanwhile: 31 bits of the hash by which the index is sorted, 18 more of the name, 4 that tell apart names
 * which are equal in all of those. '.' and '..' come first. A directory of one block is listed so too, since it may get its
 * index between two calls.
 *
 * I1: places go up along a listing, also where a corrupt index or leaf is out of order (an entry outside of its leaf's range is
 * taken to be at the range's edge), so a listing ends.
 */
import { hashName, type DirBlock, type TakeEntry } from '@iomap/block-map';
import type { Io } from '@iomap/io';
import { eachEntry, nameAt } from './dir-block.js';
import type { DirHome } from './dir-home.js';
import { dxHash } from './hash.js';
import { cursorAt, loadProbe, moveOn, nextHash, type LeafCursor } from './htree.js';
import type { Ext2InodeInCore } from './inode.js';
import type { Volume } from './volume.js';

/** Names equal in all other bits that have places of their own. */
const RANKS = 16;
const MINOR = 2 ** 18;
const HASH_MAX = 0xffff_fffe;
/** Leaves with names of one hash that are sorted together; a sound index needs no more. */
const GROUP_LEAVES_MAX = 64;

interface Listed {
  readonly buf: DirBlock;
  readonly offset: number;
  readonly name: string;
  /** 49 bits: hash and minor. */
  readonly key: number;
}

interface Range {
  readonly low: number;
  readonly high: number;
}

const byPlace = (a: Listed, b: Listed): number => a.key - b.key || (a.name < b.name ? -1 : 1);

/** The hash that a cookie's place has; 0 for those at the start. */
const hashOfCookie = (cookie: number): number =>
  Math.min(HASH_MAX, Math.max(0, Math.floor((Math.floor(cookie / RANKS) - 1) / MINOR)) * 2);

export class HashedListing {
  readonly #vol: Volume;
  readonly #home: DirHome;
  readonly #dir: Ext2InodeInCore;
  readonly #cookie: number;
  readonly #take: TakeEntry;

  constructor(vol: Volume, home: DirHome, listing: { dir: Ext2InodeInCore; cookie: number; take: TakeEntry }) {
    this.#vol = vol;
    this.#home = home;
    this.#dir = listing.dir;
    this.#cookie = listing.cookie;
    this.#take = listing.take;
  }

  /** Lists a directory of one block. */
  *single(): Io<void> {
    const buf = this.#home.peek(this.#dir, 0) ?? (yield* this.#home.read(this.#dir, 0));
    const list: Listed[] = [];
    const dots: Listed[] = [];
    this.#collect(buf, this.#vol.info.hashVersion, { low: 0, high: HASH_MAX }, list, dots);
    if (this.#dots(dots)) this.#emit(list);
  }

  /**
   * Lists an indexed directory.
   * @returns false when its index is not sound (nothing was taken)
   * @throws FsError EUCLEAN, EIO
   */
  *indexed(): Io<boolean> {
    const vol = this.#vol;
    const home = this.#home;
    const dir = this.#dir;
    const held: DirBlock[] = [];
    try {
      const start = hashOfCookie(this.#cookie);
      const found = yield* loadProbe(vol, home, { dir, hashOf: () => start }, held);
      if (found === undefined) return false;
      if (this.#cookie < 2) {
        const dots: Listed[] = [];
        const root = home.peek(dir, 0) ?? (yield* home.read(dir, 0));
        this.#collect(root, found.version, { low: 0, high: HASH_MAX }, [], dots);
        if (!this.#dots(dots)) return true;
      }
      const cursor = cursorAt(found);
      const seen = new Set<number>();
      let low = 0;
      for (let more = true; more; ) {
        const list: Listed[] = [];
        low = Math.max(low, cursor.from - (cursor.from % 2));
        more = yield* this.#group({ cursor, version: found.version, low, seen, held }, list);
        if (!this.#emit(list)) break;
      }
      return true;
    } finally {
      for (const buf of held) buf.put();
    }
  }

  /** Collects the cursor's leaf, and those after it that go on with its last hash; moves the cursor behind them. */
  *#group(
    at: { cursor: LeafCursor; version: number; low: number; seen: Set<number>; held: DirBlock[] },
    list: Listed[],
  ): Io<boolean> {
    const { cursor, seen, version, held } = at;
    const dir = this.#dir;
    for (let leaves = 1; ; leaves++) {
      const next = nextHash(cursor);
      const goesOn = next !== undefined && next % 2 === 1 && leaves < GROUP_LEAVES_MAX;
      if (!seen.has(cursor.leaf)) {
        seen.add(cursor.leaf);
        const buf = this.#home.peek(dir, cursor.leaf) ?? (yield* this.#home.read(dir, cursor.leaf));
        // The range is closed: a leaf that goes on shares its last hash with the next.
        const end = next === undefined ? HASH_MAX : next % 2 === 1 ? next - 1 : next - 2;
        this.#collect(buf, version, { low: at.low, high: Math.max(at.low, end) }, list, undefined);
      }
      const more = yield* moveOn(this.#vol, this.#home, { dir, cursor }, held);
      if (!more || !goesOn) return more;
    }
  }

  /** Adds the block's entries to `list`; '.' and '..' to `dots` where that is given. */
  #collect(buf: DirBlock, version: number, range: Range, list: Listed[], dots: Listed[] | undefined): void {
    const { info, blockSize } = this.#vol;
    eachEntry(buf, blockSize, 0, (offset) => {
      const name = nameAt(buf, offset);
      if (dots !== undefined && (name === '.' || name === '..')) {
        dots.push({ buf, offset, name, key: name.length - 1 });
        return true;
      }
      const hashed = dxHash(name, version, info.hashSeed);
      const hash = Math.min(range.high, Math.max(range.low, hashed?.hash ?? 0));
      const minor = hashed === undefined || hashed.minor === 0 ? hashName(name) : hashed.minor;
      list.push({ buf, offset, name, key: (hash / 2) * MINOR + Math.floor(minor / (2 ** 32 / MINOR)) });
      return true;
    });
  }

  #dots(dots: Listed[]): boolean {
    for (const { buf, offset, name, key } of dots.sort(byPlace)) {
      if (key >= this.#cookie && !this.#take(buf, offset, name, key + 1)) return false;
    }
    return true;
  }

  #emit(list: Listed[]): boolean {
    list.sort(byPlace);
    let rank = 0;
    let before = -1;
    for (const { buf, offset, name, key } of list) {
      rank = key === before ? Math.min(rank + 1, RANKS - 2) : 0;
      before = key;
      const place = (key + 1) * RANKS + rank;
      if (place >= this.#cookie && !this.#take(buf, offset, name, place + 1)) return false;
    }
    return true;
  }
}
