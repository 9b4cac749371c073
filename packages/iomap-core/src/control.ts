/**
 * How one call is to be done: the RWF_* and O_* flags of a read or write, as one options object.
 *
 * All of it is optional and off by default. What a call cannot do it refuses (EINVAL, EOPNOTSUPP); it never does less silently.
 */
import { FsError } from '@iomap/io';
import type { Readahead } from '@iomap/page-cache';
import type { IomapInode } from './iomap.js';

export interface IoControl {
  /** RWF_NOWAIT: EAGAIN instead of a wait, with nothing changed; what was done before that counts as a short call. */
  readonly nowait?: boolean;
  /** RWF_DONTCACHE: folios that the call brings in are dropped after use, written back first. */
  readonly dontcache?: boolean;
  /** O_DSYNC: the data, and the metadata needed to read it back, is durable on return. Direct writes only; else the caller fsyncs. */
  readonly dsync?: boolean;
  /** RWF_ATOMIC, writes: a power of two, aligned to itself, up to `ops.atomicWriteMax`: whole or not at all after any crash. */
  readonly atomic?: boolean;
  /** Direct writes: only over blocks that are allocated and written; else EAGAIN (what a shared inode lock allows). */
  readonly overwriteOnly?: boolean;
  /** Direct I/O: `done` may be short of the buffer, after a failure, instead of an error (IOMAP_DIO_PARTIAL). */
  readonly partial?: boolean;
  /** Reads: the open file's readahead window; absent = that of the mapping. */
  readonly readahead?: Readahead;
}

/** No options: what hot paths pass. */
export const PLAIN: IoControl = Object.freeze({});

/** What a no-wait call throws where it would have to wait. */
export function wouldWait(inode: IomapInode): FsError {
  inode.mapping.cache.counters.nowaitMisses++;
  return new FsError('EAGAIN', { why: 'the call may not wait', detail: { ino: inode.ino } });
}
