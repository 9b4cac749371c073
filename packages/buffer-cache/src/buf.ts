/**
 * `fs_buf`: one metadata block in memory, what is left of a buffer head once it is stripped to what metadata needs.
 *
 * States: empty → reading → uptodate ⇄ dirty → (written) → uptodate; `gone` once the cache has let go of it.
 *
 * - I1: only an uptodate buffer is dirty.
 * - I2: a buffer that is dirty, held, pinned, or in flight either way is never evicted.
 * - I3: a buffer that is gone is never marked dirty: whoever keeps one across a wait holds it.
 * - I4: a pinned buffer is not written.
 * - I5: the bytes' owner is the buffer: a view taken from them dies when the buffer may be evicted.
 * - I9: a buffer with a shortcut was used since the clock hand last passed, and is neither gone nor going.
 */
import { assert, type FsError, type WaitQueue } from '@iomap/io';

/** What a verifier found wrong. */
export interface Fault {
  readonly field: string;
  readonly why: string;
  /** True: a stored checksum does not match (EBADMSG); else the structure is wrong (EUCLEAN). */
  readonly checksum?: boolean;
}

/** Where a verifier's block was read from, to compare with the address that some formats store. */
export interface BufWhere {
  /** Bytes from the start of the device. */
  readonly pos: number;
  readonly bytes: Uint8Array;
}

/** A type of metadata block. Verifiers are pure but for a checksum that `verifyWrite` may fill in. */
export interface BufOps {
  readonly name: string;
  /** After each read from the device (checksum, then structure). */
  verifyRead?(view: DataView, where: BufWhere): Fault | undefined;
  /** Before each write (structure, then checksum). */
  verifyWrite?(view: DataView, where: BufWhere): Fault | undefined;
}

/** What a buffer tells its cache. */
export interface BufHost {
  bufDirtied(buf: Buf, owner: object | undefined): void;
  bufReleased(buf: Buf): void;
}

/**
 * A driver's own way to a buffer that it asks for often, past the cache's table: the buffer's bytes, kept where the driver
 * finds them. It is cut when the clock hand passes, so that the next use asks the cache and counts as a use, and when the
 * buffer goes: what is evicted is not kept alive.
 */
export interface Shortcut {
  /** Forget the buffer. Plain, and calls no cache. */
  cut(): void;
}

export class Buf implements BufWhere {
  /** Bytes from the start of the device. */
  readonly pos: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The type it was last verified as. */
  ops: BufOps | undefined;
  /** The failure of its last read or write; cleared by a success. */
  error: FsError | undefined;

  // What follows is the cache's.
  /** @internal */ uptodate = false;
  /** @internal */ dirtyNow = false;
  /** @internal */ reading = false;
  /** @internal */ writing = false;
  /** @internal */ gone = false;
  /** @internal: freed while a write was in flight */ doomed = false;
  /** @internal: used since the clock hand last passed */ touched = false;
  /** @internal */ holds = 0;
  /** @internal */ pins = 0;
  /** @internal: who will want it on the device at fsync */ owners: Set<object> | undefined;
  /** @internal: tasks that wait for a read or write to end */ waiters: WaitQueue | undefined;
  /** @internal */ shortcut: Shortcut | undefined;
  /** @internal: neighbours in the clock */ next: Buf = this;
  /** @internal */ prev: Buf = this;
  readonly #host: BufHost;

  constructor(host: BufHost, pos: number, bytes: Uint8Array) {
    this.#host = host;
    this.pos = pos;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get dirty(): boolean {
    return this.dirtyNow;
  }

  /** Some task reads, holds or writes it: not to be dropped or reused. */
  get busy(): boolean {
    return this.dirtyNow || this.reading || this.writing || this.holds > 0 || this.pins > 0;
  }

  /**
   * The bytes changed: they will be written by the next `sync`, `balance` or delayed-write list.
   * @param owner whose `syncOwner` (fsync) must write it too
   * @throws AssertionError I1, I3
   */
  markDirty(owner?: object): void {
    assert(!this.gone, 'I3: a buffer that was let go is not marked dirty (hold it across waits)');
    assert(this.uptodate, 'I1: only an uptodate buffer is marked dirty');
    this.#host.bufDirtied(this, owner);
  }

  /** The caller has filled the bytes of a buffer from `get`: they count as read. Does not mark it dirty. */
  initialise(ops?: BufOps): this {
    assert(!this.gone, 'I3: a buffer that was let go is not initialised');
    this.uptodate = true;
    this.error = undefined;
    this.ops = ops;
    return this;
  }

  /** `initialise` with zeroes. */
  zero(ops?: BufOps): this {
    this.bytes.fill(0);
    return this.initialise(ops);
  }

  /** Gives the buffer a shortcut, in the place of another that is cut. One that was let go gets none. */
  shorten(shortcut: Shortcut): void {
    this.cutShort();
    if (this.gone) shortcut.cut();
    else {
      this.touched = true;
      this.shortcut = shortcut;
    }
  }

  /** @internal */
  cutShort(): void {
    const { shortcut } = this;
    if (shortcut === undefined) return;
    this.shortcut = undefined;
    shortcut.cut();
  }

  /** Keeps the buffer in the cache until `put`. */
  hold(): this {
    assert(!this.gone, 'I3: a buffer that was let go is not held');
    this.holds++;
    return this;
  }

  put(): void {
    assert(this.holds > 0, 'a put has its hold');
    this.holds--;
    if (this.holds === 0) this.#host.bufReleased(this);
  }

  /** A journal keeps the buffer from being written until `unpin` (write-ahead). */
  pin(): void {
    assert(!this.gone, 'I3: a buffer that was let go is not pinned');
    this.pins++;
  }

  unpin(): void {
    assert(this.pins > 0, 'an unpin has its pin');
    this.pins--;
    if (this.pins === 0) this.#host.bufReleased(this);
  }
}
