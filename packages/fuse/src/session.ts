/**
 * One mount as the kernel sees it: which inodes it knows and how often it was told (`nlookup`), who calls, how long it may
 * believe what it is told.
 *
 * The kernel knows inodes by number (nodeid = inode number, the root is 1). What it knows is counted in a compact table; the
 * vfs's inode cache stays as small as it is, and an inode that has left it is read again when a request names it. Only
 * an inode without links is held on to, for as long as the kernel knows it: its number must not be given out again.
 *
 * Invariants
 * - F1 an inode with `nlink` 0 that the kernel knows is in `#orphans`, with one reference.
 * - F2 a handler holds a reference to every inode that it uses across a wait.
 */
import { FsError, type Io } from '@iomap/io';
import type { FileSystem, Inode, Vfs } from '@iomap/vfs';
import { putEntry, type AttrStyle } from './attr-out.js';
import { CallerTable } from './callers.js';
import type { Channel } from './channel.js';
import type { Agreement, Wishes } from './init.js';
import { LookupTable } from './lookup-table.js';
import { FUSE_ROOT_ID, VALID_FOREVER_SEC } from './protocol.js';
import type { ServeOptions } from './options.js';

/** What a handler answers when the kernel wants no reply. Below all errnos. */
export const NO_REPLY = -65_536;

export class Session {
  readonly vfs: Vfs;
  readonly fs: FileSystem;
  readonly options: ServeOptions;
  readonly style: AttrStyle;
  readonly lookups = new LookupTable();
  readonly wishes: Wishes;
  /** Set by INIT. */
  agreed: Agreement | undefined = undefined;
  /** The kernel said goodbye. */
  destroyed = false;
  /** Something was changed since the last `sync`. */
  dirty = false;
  /** What went wrong where nobody could be told. */
  readonly complain: (what: string, error: unknown) => void;
  readonly #orphans = new Map<number, Inode>();
  readonly #callers: CallerTable;

  constructor(vfs: Vfs, options: ServeOptions, blockSize: number, complain: (what: string, error: unknown) => void) {
    this.vfs = vfs;
    this.fs = vfs.fs;
    this.options = options;
    this.complain = complain;
    this.#callers = new CallerTable(vfs);
    const forever = options.permissions !== 'server';
    this.style = {
      rootIno: vfs.fs.rootIno,
      uid: options.uid,
      gid: options.gid,
      blockSize,
      // Where we check permissions ourselves, every step of a walk must come by.
      entryValidSec: forever ? VALID_FOREVER_SEC : 0,
      // With a writeback cache the kernel does not see which blocks its late writes took.
      attrValidSec: !forever ? 0 : options.writebackCache ? 1 : VALID_FOREVER_SEC,
    };
    this.wishes = {
      writebackCache: options.writebackCache && !vfs.fs.readOnly,
      acl: options.acl && forever && options.permissions !== 'root' && vfs.fs.traits.xattrs,
      statelessOpen: forever,
      dataMax: options.requestBytes,
      timeGranularityNs: vfs.fs.traits.timeGranularityNs,
    };
  }

  /** Where only root comes by, a request can still be on behalf of another: setfsuid(2), as a server of files does. */
  #isTrusted(channel: Channel): boolean {
    const { permissions } = this.options;
    return permissions === 'root' ? channel.uid === 0 : permissions !== 'server';
  }

  /** Whose rights a request has: all, where the kernel has checked. */
  caller(channel: Channel): Vfs {
    return this.#isTrusted(channel) ? this.vfs : this.#callers.checked(channel.uid, channel.gid, channel.pid);
  }

  /** Who owns what a request makes. `umask`: the process's, for where no default ACL takes its place. */
  maker(channel: Channel, umask: number): Vfs {
    return this.#isTrusted(channel)
      ? this.#callers.trusted(channel.uid, channel.gid, umask & 0o777)
      : this.#callers.checked(channel.uid, channel.gid, channel.pid, umask & 0o777);
  }

  inoOf(nodeid: number): number {
    return nodeid === FUSE_ROOT_ID ? this.style.rootIno : nodeid;
  }

  /** The inode that the kernel calls `nodeid`, referenced. @throws FsError ESTALE, EIO, EUCLEAN */
  *hold(nodeid: number): Io<Inode> {
    const ino = this.inoOf(nodeid);
    const hit = this.vfs.core.inodes.peek(ino);
    if (hit !== undefined) {
      hit.refs++;
      return hit;
    }
    return yield* this.vfs.iget(ino);
  }

  put(inode: Inode): void {
    this.vfs.iput(inode);
  }

  /** Answers with an inode: from now on the kernel knows it once more. @returns the payload's length */
  enter(channel: Channel, inode: Inode): number {
    this.know(channel, inode);
    return putEntry(channel.replyView, channel.out, inode, this.style);
  }

  /** Counts that the kernel is told of an inode. @throws FsError EUCLEAN for a number that the protocol has for the root */
  know(channel: Channel, inode: Inode): void {
    if (inode.ino === FUSE_ROOT_ID && this.style.rootIno !== FUSE_ROOT_ID) {
      throw new FsError('EUCLEAN', { why: 'inode 1 is entered in a directory', detail: { ino: 1 } });
    }
    this.lookups.add(inode.ino);
    channel.entered.push(inode.ino);
  }

  /** After an operation that may have taken an inode's last link (F1). The caller holds a reference. */
  keepOrphan(inode: Inode): void {
    if (inode.nlink > 0 || this.#orphans.has(inode.ino) || this.lookups.get(inode.ino) === 0) return;
    inode.refs++;
    this.#orphans.set(inode.ino, inode);
  }

  /** After an orphan may have got a link again. */
  adopted(inode: Inode): void {
    if (inode.nlink > 0 && this.#orphans.delete(inode.ino)) this.put(inode);
  }

  /** The answer in `channel` was not taken: what it told was not told. */
  *takeBack(channel: Channel): Io<void> {
    for (const ino of channel.entered) yield* this.forget(ino, 1);
    channel.entered.length = 0;
  }

  /** The kernel forgets `count` lookups of `nodeid`. */
  *forget(nodeid: number, count: number): Io<void> {
    const ino = this.inoOf(nodeid);
    if (!this.lookups.remove(ino, count)) return;
    const orphan = this.#orphans.get(ino);
    if (orphan === undefined) return;
    this.#orphans.delete(ino);
    this.put(orphan);
    yield* this.vfs.reap();
  }

  /** How many inodes without links the kernel still knows. */
  get orphanCount(): number {
    return this.#orphans.size;
  }

  /** The connection is gone: nothing is known any more, and what had no link is freed. */
  *forgetAll(): Io<void> {
    for (const inode of this.#orphans.values()) this.put(inode);
    this.#orphans.clear();
    yield* this.vfs.reap();
  }
}
