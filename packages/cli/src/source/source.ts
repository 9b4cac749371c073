/**
 * What an image is built from: a tree in memory of names and attributes, and a way to get at file data.
 *
 * A source is scanned whole before anything is written: its size decides the image's, and an error in it is found before
 * work is done. Data is not held: `copyData` streams it through one scratch buffer.
 *
 * Invariants: entries are sorted by the bytes of their names; each inode object is one inode (several entries may name it);
 * the tree has no cycle.
 */
import type { BulkNode, Name } from '@iomap/vfs';
import type { Timespec } from '@iomap/io';

/** A piece of a file's data, where the source has it. */
export interface DataRun {
  /** Byte position in the file. */
  readonly pos: number;
  readonly length: number;
  /** Byte position in the source (a tar file). */
  readonly at: number;
}

/** What drivers build from, and what the command needs to know beside. */
export interface SourceInode extends BulkNode<SourceInode> {
  /** Names that lead here. */
  links: number;
  /** A directory's entries, sorted. */
  readonly entries: SourceEntry[];
  xattrs: Map<Name, Uint8Array> | undefined;
  /** Where the data is: a host path, or runs in an archive. */
  readonly data: string | Buffer | readonly DataRun[] | undefined;
}

/** Whether a file's data is in runs of an archive. */
export const isRuns = (data: SourceInode['data']): data is readonly DataRun[] => Array.isArray(data);

export interface SourceEntry {
  readonly name: Name;
  readonly inode: SourceInode;
}

/** Takes `bytes` of the file at `pos`; what is not emitted is a hole. The bytes die when it returns. */
export type EmitData = (pos: number, bytes: Uint8Array) => void;

export interface Source {
  readonly root: SourceInode;
  /** For messages. */
  readonly name: string;
  /**
   * Streams a file's data.
   * @param path for messages
   * @param scratch at least two blocks long; reused by every call
   * @param blockBytes holes are found at this granularity
   * @throws CommandError when the source cannot be read or has changed
   */
  copyData(inode: SourceInode, path: Name, scratch: Uint8Array, blockBytes: number, emit: EmitData): void;
  /** What was not carried, one sentence each. */
  readonly warnings: readonly string[];
  /** Members that could not be taken at all, one line each; the result is not the whole source. */
  readonly failures: readonly string[];
  close(): void;
}

/** A source that an image can be built from at once: any place of a file's data can be asked for. */
export interface BuildSource extends Source {
  /**
   * Fills `bytes` with a file's data from `pos` (inside its size); holes are zeros. One file after another, `pos` ascending.
   * @returns bytes that were read; fewer: the file has become shorter
   * @throws CommandError when the source cannot be read
   */
  readAt(inode: SourceInode, pos: number, bytes: Uint8Array): number;
  /** What a file is called in messages. */
  shownPath(inode: SourceInode): string;
  /** Where the next data at or after `pos` starts; the file's size when there is none. Absent: not known. */
  nextData?(inode: SourceInode, pos: number): number;
}

/** What a source holds, for the size of the image and for progress. */
export interface SourceTotals {
  files: number;
  directories: number;
  others: number;
  /** Sum of file sizes. */
  bytes: number;
  /** The latest modification time. */
  latest: Timespec;
}

/** Visits every inode once, parents first, in the order of the tree. */
export function visitInodes(root: SourceInode, visit: (inode: SourceInode, path: Name) => void): void {
  const seen = new Set<SourceInode>();
  const stack: { inode: SourceInode; path: Name }[] = [{ inode: root, path: '' }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { inode, path } = at;
    if (inode.links > 1 && inode.type !== 'directory') {
      if (seen.has(inode)) continue;
      seen.add(inode);
    }
    visit(inode, path === '' ? '/' : path);
    for (let i = inode.entries.length - 1; i >= 0; i--) {
      const entry = inode.entries[i];
      if (entry !== undefined) stack.push({ inode: entry.inode, path: `${path}/${entry.name}` });
    }
  }
}

/** As `visitInodes`, in no particular order and without paths. */
export function eachInode(root: SourceInode, visit: (inode: SourceInode) => void): void {
  const seen = new Set<SourceInode>();
  const stack: SourceInode[] = [root];
  for (let inode = stack.pop(); inode !== undefined; inode = stack.pop()) {
    if (inode.links > 1 && inode.type !== 'directory') {
      if (seen.has(inode)) continue;
      seen.add(inode);
    }
    visit(inode);
    for (const entry of inode.entries) stack.push(entry.inode);
  }
}

export const isLater = (a: Timespec, b: Timespec): boolean => a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec);

/** Adds up a tree. */
export function totalsOf(root: SourceInode): SourceTotals {
  const totals: SourceTotals = { files: 0, directories: 0, others: 0, bytes: 0, latest: { sec: 0, nsec: 0 } };
  eachInode(root, (inode) => {
    if (inode.type === 'file') {
      totals.files++;
      totals.bytes += inode.size;
    } else if (inode.type === 'directory') totals.directories++;
    else totals.others++;
    if (isLater(inode.mtime, totals.latest)) totals.latest = inode.mtime;
  });
  return totals;
}

const ZEROS = Buffer.alloc(65_536);

/** Whether `bytes` (at most 64 KiB) are all zero. */
export function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, bytes.length === ZEROS.length ? ZEROS : ZEROS.subarray(0, bytes.length)) === 0;
}

/** Emits the blocks of `bytes` that are not all zero, in runs. `pos` is a multiple of `blockBytes`. */
export function emitNonZero(bytes: Uint8Array, pos: number, blockBytes: number, emit: EmitData): void {
  const step = Math.min(blockBytes, ZEROS.length);
  let start = -1;
  for (let from = 0; from < bytes.length; from += step) {
    const to = Math.min(from + step, bytes.length);
    const zero = isZero(bytes.subarray(from, to));
    if (zero && start >= 0) {
      emit(pos + start, bytes.subarray(start, from));
      start = -1;
    } else if (!zero && start < 0) start = from;
  }
  if (start >= 0) emit(pos + start, bytes.subarray(start));
}
