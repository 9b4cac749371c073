/** What a mount's file data path did, counted (never reset by us), and the events that a listener can have. Bytes unless said. */
import type { IoResult } from '@iomap/io';

/** Counters of one page cache and of the file operations over it. Plain numbers; read them at any time. */
export class IomapCounters {
  // The cache.
  folioAllocs = 0;
  folioAllocBytes = 0;
  folioReclaims = 0;
  folioReclaimBytes = 0;
  /** Times that an allocation had to have dirty folios written first. */
  pressureWritebacks = 0;
  /** Times that a task waited for memory. */
  memoryWaits = 0;
  folioLockWaits = 0;
  // The mapping: `begin` and `peek` of the filesystem, and mapping calls of writeback.
  beginPeeks = 0;
  begins = 0;
  ends = 0;
  mapBlocks = 0;
  staleMappings = 0;
  // Folios gone through by reads, writes, zeroing and writeback.
  foliosTouched = 0;
  // Bios of file data, and their bytes.
  readBios = 0;
  readBioBytes = 0;
  writeBios = 0;
  writeBioBytes = 0;
  ioends = 0;
  /** Bytes asked of the device ahead of a reader. */
  readaheadBytes = 0;
  // Bytes of the operations' callers.
  readBytes = 0;
  writeBytes = 0;
  zeroBytes = 0;
  /** Bytes that went between the device and the caller's buffer without a folio. */
  bypassReadBytes = 0;
  bypassWriteBytes = 0;
  writebackErrors = 0;
  // Direct I/O: calls, bytes, and those of them that went through the cache after all.
  directReads = 0;
  directWrites = 0;
  directReadBytes = 0;
  directWriteBytes = 0;
  directFallbackBytes = 0;
  /** Bios with FUA in place of a flush. */
  fuaBios = 0;
  atomicBios = 0;
  // Mapped files: faults to read, and to write.
  readFaults = 0;
  writeFaults = 0;
  unshareBytes = 0;
  /** Times that a writer waited because too much was dirty. */
  throttles = 0;
  /** No-wait calls that would have had to wait. */
  nowaitMisses = 0;
}

/** A trace point. `ino` is the inode's number; positions and lengths are bytes of the file. */
export type IomapEvent =
  | { readonly type: 'begin'; readonly ino: number; readonly pos: number; readonly len: number; readonly flags: number;
      readonly mapType: string; readonly mapOffset: number; readonly mapLength: number; readonly addr: number;
      readonly peeked: boolean }
  | { readonly type: 'stale'; readonly ino: number; readonly pos: number }
  | { readonly type: 'read' | 'write' | 'zero'; readonly ino: number; readonly pos: number; readonly len: number;
      readonly done: number }
  | { readonly type: 'readahead'; readonly ino: number; readonly pos: number; readonly len: number }
  /** `ops.end` was called (or `cancel`): `done` of `len` bytes. */
  | { readonly type: 'end'; readonly ino: number; readonly pos: number; readonly len: number; readonly done: number;
      readonly cancelled: boolean }
  | { readonly type: 'direct-read' | 'direct-write'; readonly ino: number; readonly pos: number; readonly len: number;
      readonly done: number }
  /** A direct call goes on through the cache. */
  | { readonly type: 'direct-fallback'; readonly ino: number; readonly pos: number; readonly len: number }
  | { readonly type: 'read-fault' | 'write-fault'; readonly ino: number; readonly pos: number; readonly len: number }
  | { readonly type: 'unshare'; readonly ino: number; readonly pos: number; readonly len: number; readonly done: number }
  /** Folios, or parts of them, are dropped: a truncate, a punch, an invalidation. `len` may be Infinity. */
  | { readonly type: 'drop'; readonly ino: number; readonly pos: number; readonly len: number }
  | { readonly type: 'punch-delalloc'; readonly ino: number; readonly pos: number; readonly len: number }
  /** Writeback of a range begins. */
  | { readonly type: 'writeback'; readonly ino: number; readonly pos: number; readonly len: number }
  /** Writeback asks for the map of dirty blocks. */
  | { readonly type: 'map'; readonly ino: number; readonly pos: number; readonly len: number; readonly mapType: string;
      readonly mapOffset: number; readonly mapLength: number; readonly addr: number }
  /** Blocks are given up after a failure. */
  | { readonly type: 'discard'; readonly ino: number; readonly pos: number; readonly len: number }
  | { readonly type: 'seek-data' | 'seek-hole'; readonly ino: number; readonly pos: number; readonly found: number }
  | { readonly type: 'fiemap' | 'bmap' | 'swap'; readonly ino: number; readonly pos: number; readonly len: number }
  | { readonly type: 'throttle'; readonly name: string; readonly dirtyBytes: number }
  | { readonly type: 'bio'; readonly ino: number; readonly op: 'read' | 'write'; readonly addr: number;
      readonly len: number; readonly segments: number; readonly fua?: boolean; readonly atomic?: boolean }
  | { readonly type: 'ioend'; readonly ino: number; readonly pos: number; readonly len: number; readonly result: IoResult }
  | { readonly type: 'reclaim'; readonly bytes: number }
  | { readonly type: 'pressure'; readonly name: string; readonly pos: number; readonly len: number };
