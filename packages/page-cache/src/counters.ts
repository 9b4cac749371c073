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
  | { readonly type: 'bio'; readonly ino: number; readonly op: 'read' | 'write'; readonly addr: number;
      readonly len: number; readonly segments: number }
  | { readonly type: 'ioend'; readonly ino: number; readonly pos: number; readonly len: number; readonly result: IoResult }
  | { readonly type: 'reclaim'; readonly bytes: number }
  | { readonly type: 'pressure'; readonly name: string; readonly pos: number; readonly len: number };
