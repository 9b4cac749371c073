/**
 * Buffers of a replay: read from the overlay, changed, and written back when the next transactions come from a later record, as
 * the kernel does. Only then do blocks get their LSN: replay compares it with that of what it is about to apply.
 */
import type { BlockDevice } from '@iomap/block-device';
import { corrupt, submitBio, type Io } from '@iomap/io';
import { putSum } from '../crc32c.js';
import { AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC, SB_MAGIC, XfsAgf, XfsAgfl, XfsAgi, XfsSuper } from '../ondisk.js';
import { BB } from '../ondisk-log.js';
import {
  BTREE_MAGIC,
  BtreeLong,
  BtreeShort,
  DA_MAGIC,
  Da3BlkInfo,
  Dir3BlkHdr,
  DIR_MAGIC,
  SYMLINK_MAGIC,
  SymlinkRemote,
} from '../ondisk-trees.js';

/** The largest buffer that XFS logs: 64 KiB. */
const BUFFER_BLOCKS_MAX = 128;

/** Where a type of block keeps LSN and checksum. */
interface Places {
  readonly lsn: number;
  readonly crc: number;
}

const BY_MAGIC32: ReadonlyMap<number, Places> = new Map<number, Places>([
  [SB_MAGIC, { lsn: XfsSuper.offsets.sb_lsn, crc: XfsSuper.offsets.sb_crc }],
  [AGF_MAGIC, { lsn: XfsAgf.offsets.agf_lsn, crc: XfsAgf.offsets.agf_crc }],
  [AGI_MAGIC, { lsn: XfsAgi.offsets.agi_lsn, crc: XfsAgi.offsets.agi_crc }],
  [AGFL_MAGIC, { lsn: XfsAgfl.offsets.agfl_lsn, crc: XfsAgfl.offsets.agfl_crc }],
  [SYMLINK_MAGIC, { lsn: SymlinkRemote.offsets.sl_lsn, crc: SymlinkRemote.offsets.sl_crc }],
  [BTREE_MAGIC.bmap[1], { lsn: BtreeLong.offsets.bb_lsn, crc: BtreeLong.offsets.bb_crc }],
  ...(['bno', 'cnt', 'ino', 'fino', 'rmap', 'refc'] as const).map(
    (kind): [number, Places] => [BTREE_MAGIC[kind][1], { lsn: BtreeShort.offsets.bb_lsn, crc: BtreeShort.offsets.bb_crc }],
  ),
  ...(['block', 'data', 'free'] as const).map(
    (kind): [number, Places] => [DIR_MAGIC[kind][1], { lsn: Dir3BlkHdr.offsets.lsn, crc: Dir3BlkHdr.offsets.crc }],
  ),
]);
const DA_PLACES: Places = { lsn: Da3BlkInfo.offsets.lsn, crc: Da3BlkInfo.offsets.crc };
const DA_MAGICS = new Set<number>(Object.values(DA_MAGIC).map(([, v5]) => v5));

/** Where this version 5 block has its LSN and checksum; undefined = it has none as a whole. */
function placesOf(view: DataView): Places | undefined {
  const places = BY_MAGIC32.get(view.getUint32(0));
  return places ?? (DA_MAGICS.has(view.getUint16(8)) ? DA_PLACES : undefined);
}

export interface ReplayBuffer {
  readonly pos: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Its LSN at the next write; undefined = unchanged. */
  lsn: bigint | undefined;
}

export class ReplayBuffers {
  readonly #device: BlockDevice;
  readonly #isV5: boolean;
  readonly #bufs = new Map<string, ReplayBuffer>();

  constructor(device: BlockDevice, isV5: boolean) {
    this.#device = device;
    this.#isV5 = isV5;
  }

  /** The buffer of `count` basic blocks. Waits on: a read. @throws FsError EUCLEAN, EIO */
  *read(block: number, count: number): Io<ReplayBuffer> {
    const key = `${block}+${count}`;
    const known = this.#bufs.get(key);
    if (known !== undefined) return known;
    const { sizeBytes, sectorSize } = this.#device;
    const pos = block * BB;
    const length = count * BB;
    if (count < 1 || count > BUFFER_BLOCKS_MAX || pos + length > sizeBytes || pos % sectorSize !== 0 || length % sectorSize !== 0) {
      throw corrupt(`log: a buffer of ${count} basic blocks at ${block}`, { field: 'blf_blkno' });
    }
    const bytes = new Uint8Array(length);
    yield* submitBio(this.#device, { op: 'read', pos, segments: [bytes], lengthBytes: length });
    const buf: ReplayBuffer = { pos, bytes, view: new DataView(bytes.buffer), lsn: undefined };
    this.#bufs.set(key, buf);
    return buf;
  }

  /** The LSN that a block carries; undefined = none, so that replay always applies. */
  lsnOf(buf: ReplayBuffer, uuid: Uint8Array): bigint | undefined {
    if (!this.#isV5) return undefined;
    const places = placesOf(buf.view);
    if (places === undefined || places.lsn + 8 > buf.bytes.length) return undefined;
    void uuid;
    const lsn = buf.view.getBigUint64(places.lsn);
    return lsn === 0n || lsn === 0xffff_ffff_ffff_ffffn ? undefined : lsn;
  }

  /** Writes what was changed, stamped, and forgets all. Waits on: writes to the overlay. */
  *flush(): Io<void> {
    for (const { pos, bytes, view, lsn } of this.#bufs.values()) {
      if (lsn === undefined) continue;
      const places = this.#isV5 ? placesOf(view) : undefined;
      if (places !== undefined && places.lsn + 8 <= bytes.length) {
        view.setBigUint64(places.lsn, lsn);
        putSum(bytes, 0, bytes.length, places.crc);
      }
      yield* submitBio(this.#device, { op: 'write', pos, segments: [bytes], lengthBytes: bytes.length });
    }
    this.#bufs.clear();
  }
}
