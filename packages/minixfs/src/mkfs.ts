/**
 * Makes a minix filesystem on a device, laid out as mkfs.minix does.
 *
 * - Only metadata is written: the inode table is one `writeZeroes`, data zones are left as they are.
 * - What other filesystems look for is wiped first.
 * - The superblock is written last, after a flush, so that an interrupted run leaves nothing that looks whole (I1).
 * - The same options, size and `Env` give the same bytes.
 */
import { clearRange, DeviceWriter, setRange, wipeSignatures } from '@iomap/block-map';
import type { BlockDevice } from '@iomap/block-device';
import { divCeil, FsError, roundUp, systemEnv, type Env, type Io } from '@iomap/io';
import { parseMkfsOptions, type MkfsOptions, type MkfsSettings } from './mkfs-options.js';
import {
  BITMAP_BLOCK,
  DIRECT_ZONES,
  Minix3Super,
  MinixInodeV1,
  MinixInodeV2,
  MinixSuper,
  ROOT_INO,
  S_IFDIR,
  S_IFREG,
  STATE_VALID,
  SUPER_POS,
  VARIANTS,
} from './ondisk.js';
import { BIT_ORDERS } from './options.js';
import { mapZonesMax, shapeOf, zoneBits, type Geometry } from './super.js';
import { Entries } from './dir-entry.js';

const BAD_INO = 2;
/** What tools before us took for the largest file of versions 2 and 3. */
const SIZE_MAX = 2 ** 31 - 1;
/** Bitmap blocks in memory at once. */
const BATCH_BLOCKS = 256;

export interface MkfsResult {
  readonly version: number;
  readonly nameMax: number;
  readonly blockSize: number;
  readonly zoneSize: number;
  readonly zonesCount: number;
  readonly zonesFree: number;
  readonly inodesCount: number;
  readonly firstDataZone: number;
  /** Bytes of the filesystem; may be a little less than asked for. */
  readonly sizeBytes: number;
}

/** One inode for so many blocks of 1 KiB, as mkfs.minix has it. */
function defaultInodes(kib: number): number {
  if (kib > 2048 * 1024) return Math.floor(kib / 16);
  return Math.floor(kib / (kib > 512 * 1024 ? 8 : 3));
}

const invalid = (field: string, why: string): FsError => new FsError('EINVAL', { why, detail: { field } });

/** What follows from options and size. @throws FsError EINVAL, ENOSPC too small, EFBIG too large for the version */
export function planMinix(settings: MkfsSettings, sizeBytes: number): Geometry {
  const { version, blockSize } = settings;
  const zoneSize = settings.zoneSize ?? blockSize;
  const nameMax = settings.nameMax ?? (version === 3 ? 60 : 30);
  const shape = shapeOf(version, nameMax, blockSize);
  const magic = VARIANTS.find((one) => one.version === version && one.nameMax === nameMax)?.magic ?? 0;
  const zonesCount = Math.floor(sizeBytes / zoneSize);
  const zonesMax = version === 1 ? 0xffff : 2 ** 32 - 1;
  if (zonesCount > zonesMax) throw new FsError('EFBIG', { why: `${zonesCount} zones: version ${version} has at most ${zonesMax}` });
  const bits = 8 * blockSize;
  const wanted = settings.inodes ?? Math.max(1, defaultInodes(Math.floor(sizeBytes / 1024)));
  const inodesMax = version === 3 ? 0xffff_fff0 : 0xffff;
  const inodesCount = Math.min(inodesMax, roundUp(wanted, shape.inodesPerBlock));
  if (settings.inodes !== undefined && settings.inodes > inodesMax) throw invalid('inodes', `version ${version} has at most ${inodesMax}`);
  const imapBlocks = divCeil(inodesCount + 1, bits);
  const tableBlocks = divCeil(inodesCount, shape.inodesPerBlock);
  const per = zoneSize / blockSize;
  // A bitmap for all that may be data before it is known where data begins: it never needs more.
  const before = Math.floor((1 + imapBlocks + tableBlocks) / per);
  if (zonesCount - before <= 0) throw new FsError('ENOSPC', { why: 'no room for data' });
  const zmapBlocks = divCeil(zonesCount - before, bits);
  const zmapBlock = BITMAP_BLOCK + imapBlocks;
  const tableBlock = zmapBlock + zmapBlocks;
  const firstDataZone = divCeil(tableBlock + tableBlocks, per);
  if (imapBlocks > 0xffff || zmapBlocks > 0xffff) throw new FsError('EFBIG', { why: 'bitmaps of more than 65,535 blocks: take larger blocks' });
  if (firstDataZone > 0xffff) throw invalid('inodes', `data from zone ${firstDataZone}: the format has at most 65,535; take fewer inodes`);
  if (firstDataZone >= zonesCount) throw new FsError('ENOSPC', { why: 'no room for data' });
  const mapMax = mapZonesMax({ blockSize, ...shape }) * zoneSize;
  return {
    version,
    nameMax,
    magic,
    littleEndian: settings.byteOrder === 'le',
    blockSize,
    zoneSize,
    inodesCount,
    zonesCount,
    firstDataZone,
    imapBlocks,
    zmapBlocks,
    zmapBlock,
    tableBlock,
    tableBlocks,
    ...shape,
    fileSizeMax: version === 1 ? Math.min(mapMax, 2 ** 32 - 1) : Math.min(mapMax, SIZE_MAX),
  };
}

/** The superblock's 1024 bytes. */
export function buildSuper(geometry: Geometry): Uint8Array {
  const bytes = new Uint8Array(1024);
  const logZone = Math.log2(geometry.zoneSize / geometry.blockSize);
  if (geometry.version === 3) {
    const s = Minix3Super.in(geometry.littleEndian).at(bytes);
    s.s_ninodes = geometry.inodesCount;
    s.s_imap_blocks = geometry.imapBlocks;
    s.s_zmap_blocks = geometry.zmapBlocks;
    s.s_firstdatazone = geometry.firstDataZone;
    s.s_log_zone_size = logZone;
    s.s_max_size = geometry.fileSizeMax;
    s.s_zones = geometry.zonesCount;
    s.s_magic = geometry.magic;
    s.s_blocksize = geometry.blockSize;
    return bytes;
  }
  const s = MinixSuper.in(geometry.littleEndian).at(bytes);
  s.s_ninodes = geometry.inodesCount;
  if (geometry.version === 1) s.s_nzones = geometry.zonesCount;
  else s.s_zones = geometry.zonesCount;
  s.s_imap_blocks = geometry.imapBlocks;
  s.s_zmap_blocks = geometry.zmapBlocks;
  s.s_firstdatazone = geometry.firstDataZone;
  s.s_log_zone_size = logZone;
  s.s_max_size = geometry.fileSizeMax;
  s.s_magic = geometry.magic;
  s.s_state = STATE_VALID;
  return bytes;
}

/** An inode of a new filesystem. */
interface FirstInode {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly sec: number;
  readonly zones: readonly number[];
}

/** Writes an inode into its place in a table that begins at `table`. */
export function writeFirstInode(geometry: Geometry, table: Uint8Array, ino: number, inode: FirstInode): void {
  const at = (ino - 1) * geometry.inodeSize;
  if (geometry.version === 1) {
    const view = MinixInodeV1.in(geometry.littleEndian).at(table, at);
    view.i_mode = inode.mode;
    view.i_uid = inode.uid;
    view.i_size = inode.size;
    view.i_time = inode.sec;
    view.i_gid = inode.gid;
    view.i_nlinks = inode.nlink;
    inode.zones.forEach((zone, i) => {
      view.i_zone.set(i, zone);
    });
    return;
  }
  const view = MinixInodeV2.in(geometry.littleEndian).at(table, at);
  view.i_mode = inode.mode;
  view.i_nlinks = inode.nlink;
  view.i_uid = inode.uid;
  view.i_gid = inode.gid;
  view.i_size = inode.size;
  view.i_atime = inode.sec;
  view.i_mtime = inode.sec;
  view.i_ctime = inode.sec;
  inode.zones.forEach((zone, i) => {
    view.i_zone.set(i, zone);
  });
}

/** Gives out good zones from the front. */
class GoodZones {
  readonly used: number[] = [];
  #next: number;

  constructor(
    private readonly geometry: Geometry,
    private readonly bad: ReadonlySet<number>,
  ) {
    this.#next = geometry.firstDataZone;
  }

  take(): number {
    while (this.bad.has(this.#next)) this.#next++;
    if (this.#next >= this.geometry.zonesCount) throw new FsError('ENOSPC', { why: 'not enough good zones' });
    this.used.push(this.#next);
    return this.#next++;
  }
}

/** The map of the file of bad zones: its pointers, and its tree blocks, which are written at once. */
function mapBadZones(geometry: Geometry, zones: readonly number[], good: GoodZones, writer: DeviceWriter): number[] {
  const per = geometry.blockSize / geometry.pointerBytes;
  let next = 0;
  const tree = (level: number): number => {
    const zone = good.take();
    const bytes = new Uint8Array(geometry.blockSize);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < per && next < zones.length; i++) {
      const pointer = level === 1 ? (zones[next++] ?? 0) : tree(level - 1);
      if (geometry.pointerBytes === 2) view.setUint16(i * 2, pointer, geometry.littleEndian);
      else view.setUint32(i * 4, pointer, geometry.littleEndian);
    }
    writer.write(zone * geometry.zoneSize, bytes);
    return zone;
  };
  const pointers: number[] = [];
  while (pointers.length < DIRECT_ZONES && next < zones.length) pointers.push(zones[next++] ?? 0);
  while (pointers.length < DIRECT_ZONES) pointers.push(0);
  for (let level = 1; level <= geometry.levels; level++) pointers.push(next < zones.length ? tree(level) : 0);
  if (next < zones.length) throw new FsError('EFBIG', { why: 'too many bad zones', detail: { field: 'badZones' } });
  return pointers;
}

/** Writes a bitmap, a batch of blocks at a time: all bits set but [from, to), and those that `taken` says. */
function* writeBitmap(
  writer: DeviceWriter,
  at: { readonly firstBlock: number; readonly blocks: number; readonly blockSize: number; readonly flip: number },
  bits: { readonly free: readonly [from: number, to: number]; readonly taken: readonly number[] },
): Io<void> {
  const perBlock = at.blockSize * 8;
  const taken = new Map<number, number[]>();
  for (const bit of bits.taken) {
    const index = Math.floor(bit / perBlock);
    const list = taken.get(index);
    if (list === undefined) taken.set(index, [bit % perBlock]);
    else list.push(bit % perBlock);
  }
  for (let index = 0; index < at.blocks; index++) {
    const block = new Uint8Array(at.blockSize).fill(0xff);
    const from = Math.max(bits.free[0], index * perBlock);
    const to = Math.min(bits.free[1], (index + 1) * perBlock);
    if (to > from) clearRange(block, from - index * perBlock, to - from, at.flip);
    for (const bit of taken.get(index) ?? []) setRange(block, bit, 1, at.flip);
    writer.write((at.firstBlock + index) * at.blockSize, block);
    if (writer.pending >= BATCH_BLOCKS) yield* writer.submit();
  }
  yield* writer.submit();
}

function checkBadZones(geometry: Geometry, badZones: readonly number[]): number[] {
  const list = [...new Set(badZones)].sort((a, b) => a - b);
  const first = list[0];
  if (first !== undefined && first < geometry.firstDataZone) {
    throw invalid('badZones', `zone ${first} is needed for metadata: cannot make a filesystem`);
  }
  const last = list.at(-1);
  if (last !== undefined && last >= geometry.zonesCount) throw invalid('badZones', `no zone ${last} in the filesystem`);
  return list;
}

/**
 * Makes a minix filesystem; everything on the device is lost.
 *
 * Waits on: a request for each bitmap block in batches, a few more, a flush before and after the superblock.
 * @param env time, where options do not give it
 * @throws FsError EINVAL bad options; ENOSPC the device is too small; EFBIG too large; EROFS; the device's own
 */
export function* mkfs(device: BlockDevice, options: MkfsOptions = {}, env: Env = systemEnv()): Io<MkfsResult> {
  const settings = parseMkfsOptions(options);
  const sizeBytes = settings.sizeBytes ?? device.sizeBytes;
  if (device.readOnly) throw new FsError('EROFS', { detail: { device: device.name } });
  if (sizeBytes > device.sizeBytes) throw invalid('sizeBytes', `the device has ${device.sizeBytes} bytes`);
  if (settings.blockSize < device.sectorSize) throw invalid('blockSize', `smaller than a sector (${device.sectorSize})`);
  const geometry = planMinix(settings, sizeBytes);
  const { blockSize, zoneSize } = geometry;
  const flip = BIT_ORDERS[settings.bitOrder];
  const badZones = checkBadZones(geometry, settings.badZones);
  const good = new GoodZones(geometry, new Set(badZones));
  const sec = Math.max(0, Math.min(2 ** 32 - 1, env.now().sec));
  const writer = new DeviceWriter(device);
  yield* wipeSignatures(writer, device, sizeBytes);
  if (!settings.assumeZeroed) writer.zeroes(geometry.tableBlock * blockSize, geometry.tableBlocks * blockSize);
  yield* writer.submit();

  const rootZone = good.take();
  const rootBlock = new Uint8Array(zoneSize);
  const names = ['.', '..', ...(badZones.length > 0 ? ['.badblocks'] : [])];
  const entries = new Entries(geometry);
  const view = new DataView(rootBlock.buffer);
  names.forEach((name, i) => {
    entries.write({ bytes: rootBlock, view }, i * geometry.entryBytes, { name, ino: i === 2 ? BAD_INO : ROOT_INO });
  });
  writer.write(rootZone * zoneSize, rootBlock);
  const table = new Uint8Array(blockSize);
  const { rootUid: uid, rootGid: gid } = settings;
  const root = { mode: S_IFDIR | settings.rootMode, nlink: 2, uid, gid, size: names.length * geometry.entryBytes, sec, zones: [rootZone] };
  writeFirstInode(geometry, table, ROOT_INO, root);
  if (badZones.length > 0) {
    const zones = mapBadZones(geometry, badZones, good, writer);
    writeFirstInode(geometry, table, BAD_INO, { mode: S_IFREG, nlink: 1, uid: 0, gid: 0, size: badZones.length * zoneSize, sec, zones });
  }
  writer.write(geometry.tableBlock * blockSize, table);
  yield* writer.submit();

  const used = [...good.used, ...badZones];
  yield* writeBitmap(
    writer,
    { firstBlock: BITMAP_BLOCK, blocks: geometry.imapBlocks, blockSize, flip },
    { free: [1, geometry.inodesCount + 1], taken: badZones.length > 0 ? [ROOT_INO, BAD_INO] : [ROOT_INO] },
  );
  yield* writeBitmap(
    writer,
    { firstBlock: geometry.zmapBlock, blocks: geometry.zmapBlocks, blockSize, flip },
    { free: [1, zoneBits(geometry)], taken: used.map((zone) => zone - geometry.firstDataZone + 1) },
  );
  yield* writer.flush(); // I1: everything it points to before the superblock
  writer.write(...superBlockAt(geometry));
  yield* writer.submit();
  yield* writer.flush();
  return {
    version: geometry.version,
    nameMax: geometry.nameMax,
    blockSize,
    zoneSize,
    zonesCount: geometry.zonesCount,
    zonesFree: geometry.zonesCount - geometry.firstDataZone - used.length,
    inodesCount: geometry.inodesCount,
    firstDataZone: geometry.firstDataZone,
    sizeBytes: geometry.zonesCount * zoneSize,
  };
}

/** The block that holds the superblock: whole, for devices with large sectors. What lies before it is zeroes. */
function superBlockAt(geometry: Geometry): [pos: number, bytes: Uint8Array] {
  const superBytes = buildSuper(geometry);
  if (geometry.blockSize === SUPER_POS) return [SUPER_POS, superBytes];
  const block = new Uint8Array(geometry.blockSize);
  block.set(superBytes, SUPER_POS);
  return [0, block];
}
