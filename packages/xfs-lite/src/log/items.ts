/** Replay of single items: buffers, inodes, new inodes, dquots. Each applies to a `ReplayBuffer` unless that is newer already. */
import { corrupt, FsError, type Io } from '@iomap/io';
import { putSum } from '../crc32c.js';
import { putFreshInode } from '../fresh-inode.js';
import { DINODE_BYTES, DINODE_MAGIC, DINODE_V2_BYTES, DIFLAG2, XfsDinode } from '../ondisk.js';
import { BB, BLF, BLF_CHUNK, BufFormat, DquotFormat, IcreateFormat, ILOG, InodeFormat } from '../ondisk-log.js';
import { BTREE_LONG_V4_BYTES, BtreeLong } from '../ondisk-trees.js';
import { agbToPos, agLength, type SuperInfo } from '../super.js';
import type { ReplayBuffer, ReplayBuffers } from './buffers.js';
import type { LogItem } from './transactions.js';

const bad = (why: string, field: string): FsError => corrupt(`log: ${why}`, { field });

export interface ReplayContext {
  readonly info: SuperInfo;
  readonly buffers: ReplayBuffers;
  /** Buffers that were freed later in the log: what came before is not replayed. */
  readonly cancelled: CancelTable;
  /** Of the transaction that is replayed. */
  lsn: bigint;
}

/** Counts the cancellations of each buffer. */
export class CancelTable {
  readonly #counts = new Map<string, number>();

  add(block: number, count: number): void {
    const key = `${block}+${count}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  has(block: number, count: number): boolean {
    return this.#counts.has(`${block}+${count}`);
  }

  /** A cancellation was met: later items of this buffer are not meant by it. */
  drop(block: number, count: number): void {
    const key = `${block}+${count}`;
    const left = (this.#counts.get(key) ?? 0) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
  }
}

function firstRegion(item: LogItem, bytes: number): Uint8Array {
  const region = item.regions[0];
  if (region === undefined || region.length < bytes || item.regions.length < item.total) throw bad('an item is cut short', 'size');
  return region;
}

// Buffers ------------------------------------------------------------------------------------------------------------------

export interface BufItem {
  readonly block: number;
  readonly count: number;
  readonly flags: number;
  readonly map: (bit: number) => boolean;
  readonly bits: number;
}

/** @throws FsError EUCLEAN */
export function decodeBufItem(item: LogItem): BufItem {
  const region = firstRegion(item, BufFormat.size);
  const view = BufFormat.at(region);
  const words = view.blf_map_size;
  if (BufFormat.size + words * 4 > region.length) throw bad('a buffer with a map that is cut short', 'blf_map_size');
  const data = new DataView(region.buffer, region.byteOffset, region.byteLength);
  return {
    block: view.blf_blkno,
    count: view.blf_len,
    flags: view.blf_flags,
    bits: words * 32,
    map: (bit) => (data.getUint32(BufFormat.size + Math.floor(bit / 32) * 4, true) & (1 << (bit % 32))) !== 0,
  };
}

/** Calls `visit` for each logged run: where it goes, and its bytes. @throws FsError EUCLEAN */
function eachRun(item: LogItem, { map, bits }: BufItem, visit: (at: number, bytes: Uint8Array) => void): void {
  let region = 1;
  for (let bit = 0; bit < bits; ) {
    if (!map(bit)) {
      bit++;
      continue;
    }
    let end = bit;
    while (end < bits && map(end)) end++;
    const bytes = item.regions[region++];
    if (bytes === undefined) throw bad('a buffer with too few regions', 'blf_size');
    const chunks = Math.min(end - bit, Math.floor(bytes.length / BLF_CHUNK));
    visit(bit * BLF_CHUNK, bytes.subarray(0, chunks * BLF_CHUNK));
    bit = end;
  }
}

export function* replayBuffer(context: ReplayContext, item: LogItem): Io<void> {
  const { buffers, cancelled, info, lsn } = context;
  const format = decodeBufItem(item);
  const { block, count, flags } = format;
  if (cancelled.has(block, count)) {
    if ((flags & BLF.CANCEL) !== 0) cancelled.drop(block, count);
    return;
  }
  if ((flags & BLF.CANCEL) !== 0) return;
  const buf = yield* buffers.read(block, count);
  const current = buffers.lsnOf(buf, info.metaUuid);
  if (current !== undefined && current >= lsn) return;
  const isUnlinked = (flags & BLF.INODE_BUF) !== 0;
  eachRun(item, format, (at, bytes) => {
    if (at + bytes.length > buf.bytes.length) throw bad('a logged run leaves its buffer', 'blf_data_map');
    if (isUnlinked) copyUnlinked(info, buf, at, bytes);
    else buf.bytes.set(bytes, at);
  });
  buf.lsn = lsn;
}

/** Of a buffer of inodes only the links of the list of unlinked inodes are logged this way; all else is logged by inode. */
function copyUnlinked(info: SuperInfo, buf: ReplayBuffer, at: number, bytes: Uint8Array): void {
  const field = XfsDinode.offsets.di_next_unlinked;
  for (let inode = 0; inode < buf.bytes.length; inode += info.inodeSize) {
    const from = inode + field;
    if (from < at || from + 4 > at + bytes.length) continue;
    buf.bytes.set(bytes.subarray(from - at, from - at + 4), from);
    if (info.v5) putSum(buf.bytes, inode, inode + info.inodeSize, XfsDinode.offsets.di_crc);
  }
}

// Inodes -------------------------------------------------------------------------------------------------------------------

interface InodeItem {
  readonly fields: number;
  readonly rdev: number;
  readonly block: number;
  readonly count: number;
  readonly offset: number;
  readonly ino: number;
}

/** The item as 64-bit machines log it; 32-bit ones leave out the padding. */
function decodeInodeItem(item: LogItem): InodeItem {
  const region = firstRegion(item, 52);
  const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
  const shift = region.length >= InodeFormat.size ? 0 : 4;
  const o = InodeFormat.offsets;
  const u64 = (at: number): number => view.getUint32(at - shift + 4, true) * 2 ** 32 + view.getUint32(at - shift, true);
  return {
    fields: view.getUint32(o.ilf_fields, true),
    rdev: view.getUint32(o.ilf_rdev - shift, true),
    block: u64(o.ilf_blkno),
    count: view.getUint32(o.ilf_len - shift, true),
    offset: view.getUint32(o.ilf_boffset - shift, true),
    ino: u64(o.ilf_ino),
  };
}

export function* replayInode(context: ReplayContext, item: LogItem): Io<void> {
  const { buffers, cancelled, info, lsn } = context;
  const format = decodeInodeItem(item);
  if (cancelled.has(format.block, format.count)) return;
  const core = item.regions[1];
  if (core === undefined || core.length < 96) throw bad('an inode without its core', 'ilf_size');
  const buf = yield* buffers.read(format.block, format.count);
  const at = format.offset;
  if (at % info.inodeSize !== 0 || at + info.inodeSize > buf.bytes.length) throw bad('an inode outside its buffer', 'ilf_boffset');
  const logged = new DataView(core.buffer, core.byteOffset, core.byteLength);
  if (logged.getUint16(0, true) !== DINODE_MAGIC) throw bad('an inode without its magic number', 'di_magic');
  if (buf.view.getUint16(at) !== DINODE_MAGIC) throw bad(`inode ${format.ino} goes where no inode is`, 'ilf_blkno');
  const isV3 = logged.getUint8(4) === 3;
  if (isV3 !== info.v5 || (isV3 && core.length < DINODE_BYTES)) throw bad('an inode of the wrong version', 'di_version');
  if (isV3) {
    const current = buf.view.getBigUint64(at + XfsDinode.offsets.di_lsn);
    if (current !== 0n && current !== 0xffff_ffff_ffff_ffffn && current > lsn) return;
  } else if (isOlderFlush(buf.view.getUint16(at + 30), logged.getUint16(30, true))) {
    return;
  }
  putCore(buf, at, logged, lsn);
  putForks(context, item, format, buf, at);
  if (info.v5) putSum(buf.bytes, at, at + info.inodeSize, XfsDinode.offsets.di_crc);
  buf.lsn = lsn;
}

/** Version 4 counts the writes of an inode, up to 65,535 and around. */
const isOlderFlush = (disk: number, logged: number): boolean => logged < disk && !(disk === 0xffff && logged < 0x7fff);

/** Fields that are numbers: offset and width; between them lie bytes (padding, uuid). */
const CORE_FIELDS: readonly (readonly [number, number])[] = [
  [0, 2], [2, 2], [6, 2], [8, 4], [12, 4], [16, 4], [20, 2], [22, 2], [56, 8], [64, 8], [72, 4], [76, 4], [80, 2],
  [84, 4], [88, 2], [90, 2], [92, 4],
];
const CORE_FIELDS_V3: readonly (readonly [number, number])[] = [[104, 8], [120, 8], [128, 4], [152, 8]];

function swapField(buf: ReplayBuffer, at: number, logged: DataView, offset: number, width: number): void {
  if (width === 2) buf.view.setUint16(at + offset, logged.getUint16(offset, true));
  else if (width === 4) buf.view.setUint32(at + offset, logged.getUint32(offset, true));
  else buf.view.setBigUint64(at + offset, logged.getBigUint64(offset, true));
}

/** Copies the core, number by number into the disk's byte order. The unlinked link stays: it is not logged with the inode. */
function putCore(buf: ReplayBuffer, at: number, logged: DataView, lsn: bigint): void {
  const { offsets } = XfsDinode;
  const isV3 = logged.getUint8(4) === 3;
  for (const [offset, width] of CORE_FIELDS) swapField(buf, at, logged, offset, width);
  for (const offset of [4, 5, 82, 83]) buf.view.setUint8(at + offset, logged.getUint8(offset));
  const flags2 = isV3 ? Number(logged.getBigUint64(offsets.di_flags2, true) % 2n ** 32n) : 0;
  const isBig = (flags2 & DIFLAG2.BIGTIME) !== 0;
  const isLarge = (flags2 & DIFLAG2.NREXT64) !== 0;
  const times = [offsets.di_atime, offsets.di_mtime, offsets.di_ctime, ...(isV3 ? [offsets.di_crtime] : [])];
  for (const offset of times) {
    if (isBig) {
      swapField(buf, at, logged, offset, 8);
    } else {
      swapField(buf, at, logged, offset, 4);
      swapField(buf, at, logged, offset + 4, 4);
    }
  }
  // Six bytes of padding and the flush counter, or the 64-bit count of extents.
  if (isLarge) swapField(buf, at, logged, offsets.di_big_nextents, 8);
  else buf.view.setBigUint64(at + offsets.di_big_nextents, 0n);
  if (!isV3) return;
  for (const [offset, width] of CORE_FIELDS_V3) swapField(buf, at, logged, offset, width);
  buf.view.setBigUint64(at + offsets.di_lsn, lsn);
  for (let i = 132; i < 144; i++) buf.view.setUint8(at + i, 0);
  for (let i = 0; i < 16; i++) buf.view.setUint8(at + offsets.di_uuid + i, logged.getUint8(offsets.di_uuid + i));
}

function putForks(context: ReplayContext, item: LogItem, { fields }: InodeItem, buf: ReplayBuffer, at: number): void {
  const { info } = context;
  const core = buf.view.getUint8(at + 4) === 3 ? DINODE_BYTES : DINODE_V2_BYTES;
  const forkoff = buf.view.getUint8(at + XfsDinode.offsets.di_forkoff) * 8;
  const start = at + core;
  const end = at + info.inodeSize;
  if (start + forkoff > end) throw bad('an attribute fork outside its inode', 'di_forkoff');
  if ((fields & ILOG.DEV) !== 0) {
    const region = item.regions[0] ?? new Uint8Array(0);
    const shift = region.length >= InodeFormat.size ? 0 : 4;
    buf.view.setUint32(start, new DataView(region.buffer, region.byteOffset).getUint32(InodeFormat.offsets.ilf_rdev - shift, true));
  }
  let next = 2;
  if ((fields & (ILOG.DDATA | ILOG.DEXT | ILOG.DBROOT)) !== 0) {
    putFork(context, item.regions[next++], (fields & ILOG.DBROOT) !== 0, buf, start, forkoff === 0 ? end : start + forkoff);
  }
  if ((fields & (ILOG.ADATA | ILOG.AEXT | ILOG.ABROOT)) !== 0) {
    putFork(context, item.regions[next], (fields & ILOG.ABROOT) !== 0, buf, start + forkoff, end);
  }
  if ((fields & (ILOG.DOWNER | ILOG.AOWNER)) !== 0) {
    throw new FsError('EOPNOTSUPP', { why: 'log: a swap of extents that changes the owner of btree blocks' });
  }
}

function putFork(context: ReplayContext, region: Uint8Array | undefined, isRoot: boolean, buf: ReplayBuffer, from: number, to: number): void {
  if (region === undefined) throw bad('an inode without its fork', 'ilf_size');
  if (!isRoot) {
    if (region.length > to - from) throw bad('a fork larger than its room', 'ilf_dsize');
    buf.bytes.set(region, from);
    return;
  }
  // In core, the root of a tree has the head of a block, and its pointers start behind the keys that it has room for.
  const head = context.info.v5 ? BtreeLong.size : BTREE_LONG_V4_BYTES;
  const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
  if (region.length < head) throw bad('a root of an extent tree is cut short', 'ilf_dsize');
  const count = view.getUint16(6);
  const room = Math.floor((region.length - head) / 16);
  const diskRoom = Math.floor((to - from - 4) / 16);
  if (count > room || count > diskRoom) throw bad('a root of an extent tree with too many records', 'bb_numrecs');
  buf.view.setUint16(from, view.getUint16(4));
  buf.view.setUint16(from + 2, count);
  buf.bytes.set(region.subarray(head, head + count * 8), from + 4);
  buf.bytes.set(region.subarray(head + room * 8, head + room * 8 + count * 8), from + 4 + diskRoom * 8);
}

// New inodes ---------------------------------------------------------------------------------------------------------------

/** The size of the kernel's buffers of inodes: 8 KiB, scaled with the inode size in version 5. */
export function clusterBytes(info: SuperInfo): number {
  const scaled = info.v5 ? 8192 * (info.inodeSize / 256) : 8192;
  // Not larger than the alignment allows.
  const bytes = info.inoAlign * info.blockSize >= scaled ? scaled : 8192;
  return Math.max(info.blockSize, bytes);
}

export function* replayIcreate(context: ReplayContext, item: LogItem): Io<void> {
  const { info, buffers, cancelled, lsn } = context;
  const region = firstRegion(item, IcreateFormat.size);
  const view = IcreateFormat.at(region);
  const { icl_ag: ag, icl_agbno: agbno, icl_length: length, icl_count: count } = view;
  if (ag >= info.agCount || length === 0 || agbno + length > agLength(info, ag)) throw bad('new inodes outside their group', 'icl_agbno');
  if (view.icl_isize !== info.inodeSize || count !== length * info.inodesPerBlock || length > 64 * 4) {
    throw bad('new inodes of another size', 'icl_isize');
  }
  const cluster = Math.min(clusterBytes(info), length * info.blockSize);
  for (let done = 0; done < length * info.blockSize; done += cluster) {
    const pos = agbToPos(info, ag, agbno) + done;
    const bytes = Math.min(cluster, length * info.blockSize - done);
    if (cancelled.has(pos / BB, bytes / BB)) continue;
    const buf = yield* buffers.read(pos / BB, bytes / BB);
    const first = (ag * 2 ** info.agBlkLog + agbno) * info.inodesPerBlock + done / info.inodeSize;
    for (let i = 0; i * info.inodeSize < bytes; i++) putFreshInode(info, buf.bytes, i * info.inodeSize, first + i, view.icl_gen);
    buf.lsn = lsn;
  }
}

// Quota --------------------------------------------------------------------------------------------------------------------

const DQUOT_BYTES = 104;
const DQBLK_BYTES = 136;
const DQ_CRC = 108;
const DQ_LSN = 112;

export function* replayDquot(context: ReplayContext, item: LogItem): Io<void> {
  const { buffers, cancelled, info, lsn } = context;
  const view = DquotFormat.at(firstRegion(item, DquotFormat.size));
  const dquot = item.regions[1];
  if (dquot === undefined || dquot.length < DQUOT_BYTES) throw bad('a dquot is cut short', 'qlf_size');
  if (cancelled.has(view.qlf_blkno, view.qlf_len)) return;
  const buf = yield* buffers.read(view.qlf_blkno, view.qlf_len);
  const at = view.qlf_boffset;
  if (at + DQBLK_BYTES > buf.bytes.length) throw bad('a dquot outside its buffer', 'qlf_boffset');
  if (info.v5) {
    const current = buf.view.getBigUint64(at + DQ_LSN);
    if (current !== 0n && current >= lsn) return;
  }
  buf.bytes.set(dquot.subarray(0, DQUOT_BYTES), at);
  if (info.v5) {
    buf.view.setBigUint64(at + DQ_LSN, lsn);
    putSum(buf.bytes, at, at + DQBLK_BYTES, DQ_CRC);
  }
  buf.lsn = lsn;
}
