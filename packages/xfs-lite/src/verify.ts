/**
 * Verifiers: every type of metadata block with its magic, and in version 5 its checksum, uuid and address. The owner (inode or
 * group) is compared by whoever follows a pointer, since only he knows it; see `checkOwner`.
 */
import type { BufOps, BufWhere, Fault } from '@iomap/buffer-cache';
import { corrupt } from '@iomap/io';
import { sumMatches } from './crc32c.js';
import {
  ATTR_REMOTE_MAGIC,
  AttrRemote,
  BTREE_MAGIC,
  BtreeLong,
  BtreeShort,
  DA_MAGIC,
  Da3BlkInfo,
  Dir3BlkHdr,
  DIR_MAGIC,
  SYMLINK_MAGIC,
  SymlinkRemote,
  type BtreeKind,
} from './ondisk-trees.js';
import type { SuperInfo } from './super.js';

/** Where a type of block keeps what version 5 adds. */
interface Stamps {
  readonly crc: number;
  readonly blkno: number;
  readonly uuid: number;
}

const SHORT: Stamps = { crc: BtreeShort.offsets.bb_crc, blkno: BtreeShort.offsets.bb_blkno, uuid: BtreeShort.offsets.bb_uuid };
const LONG: Stamps = { crc: BtreeLong.offsets.bb_crc, blkno: BtreeLong.offsets.bb_blkno, uuid: BtreeLong.offsets.bb_uuid };
const DIR: Stamps = { crc: Dir3BlkHdr.offsets.crc, blkno: Dir3BlkHdr.offsets.blkno, uuid: Dir3BlkHdr.offsets.uuid };
const DA: Stamps = { crc: Da3BlkInfo.offsets.crc, blkno: Da3BlkInfo.offsets.blkno, uuid: Da3BlkInfo.offsets.uuid };
const REMOTE: Stamps = { crc: AttrRemote.offsets.rm_crc, blkno: AttrRemote.offsets.rm_blkno, uuid: AttrRemote.offsets.rm_uuid };
const LINK: Stamps = { crc: SymlinkRemote.offsets.sl_crc, blkno: SymlinkRemote.offsets.sl_blkno, uuid: SymlinkRemote.offsets.sl_uuid };

export interface XfsOps {
  readonly dirData: BufOps;
  readonly dirFree: BufOps;
  /** Leaves and tree blocks of a directory's hash index. */
  readonly dirTree: BufOps;
  /** Leaves and tree blocks of attributes. */
  readonly attrTree: BufOps;
  readonly attrRemote: BufOps;
  readonly symlink: BufOps;
  readonly bmap: BufOps;
  readonly trees: Readonly<Record<Exclude<BtreeKind, 'bmap'>, BufOps>>;
  /** Blocks of inodes: each inode is verified when it is decoded. */
  readonly inodes: BufOps;
  /** A part of a directory block that is not contiguous: verified once it is put together. */
  readonly part: BufOps;
}

const BAD_MAGIC = (field: string): Fault => ({ field, why: 'magic number' });

/** Compares the uuid at `at`; whole words would need alignment that views may not have. */
function sameUuid(bytes: Uint8Array, at: number, uuid: Uint8Array): boolean {
  for (let i = 0; i < 16; i++) if (bytes[at + i] !== uuid[i]) return false;
  return true;
}

/** What a version 5 block says of itself, against where it was read. */
export function checkStamps(view: DataView, where: BufWhere, stamps: Stamps, info: SuperInfo): Fault | undefined {
  const { bytes } = where;
  if (!sumMatches(view, 0, bytes.length, stamps.crc)) return { field: 'crc', why: 'checksum', checksum: true };
  if (!sameUuid(bytes, stamps.uuid, info.metaUuid)) return { field: 'uuid', why: 'uuid of another filesystem' };
  const blkno = view.getUint32(stamps.blkno) * 2 ** 32 + view.getUint32(stamps.blkno + 4);
  if (blkno !== where.pos / 512) return { field: 'blkno', why: `written for sector ${blkno}` };
  return undefined;
}

function makeOps(
  name: string, info: SuperInfo, stamps: Stamps, magics: readonly number[], readMagic: (view: DataView) => number,
): BufOps {
  return {
    name,
    verifyRead(view, where) {
      if (!magics.includes(readMagic(view))) return BAD_MAGIC('magic');
      return info.v5 ? checkStamps(view, where, stamps, info) : undefined;
    },
  };
}

const magic32 = (view: DataView): number => view.getUint32(0);
const magicDa = (view: DataView): number => view.getUint16(8);

/** The verifiers of one filesystem. */
export function xfsOps(info: SuperInfo): XfsOps {
  const v = info.v5 ? 1 : 0;
  const tree = (kind: Exclude<BtreeKind, 'bmap'>): BufOps => makeOps(`${kind} btree block`, info, SHORT, [BTREE_MAGIC[kind][v]], magic32);
  /** Version 4 has no heads, hence no magic, in remote blocks. */
  const plain = (name: string): BufOps => ({ name });
  return {
    dirData: makeOps('directory data block', info, DIR, [DIR_MAGIC.block[v], DIR_MAGIC.data[v]], magic32),
    dirFree: makeOps('directory free block', info, DIR, [DIR_MAGIC.free[v]], magic32),
    dirTree: makeOps('directory index block', info, DA, [DA_MAGIC.node[v], DA_MAGIC.leaf1[v], DA_MAGIC.leafn[v]], magicDa),
    attrTree: makeOps('attribute block', info, DA, [DA_MAGIC.node[v], DA_MAGIC.attr[v]], magicDa),
    attrRemote: info.v5 ? makeOps('remote attribute block', info, REMOTE, [ATTR_REMOTE_MAGIC], magic32) : plain('remote attribute block'),
    symlink: info.v5 ? makeOps('symlink block', info, LINK, [SYMLINK_MAGIC], magic32) : plain('symlink block'),
    bmap: makeOps('extent btree block', info, LONG, [BTREE_MAGIC.bmap[v]], magic32),
    trees: { bno: tree('bno'), cnt: tree('cnt'), ino: tree('ino'), fino: tree('fino'), rmap: tree('rmap'), refc: tree('refc') },
    inodes: plain('inode block'),
    part: plain('part of a directory block'),
  };
}

/**
 * The owner that a version 5 block names must be the inode (or group) whose pointer led here.
 * @throws FsError EUCLEAN
 */
export function checkOwner(found: number, owner: number, pos: number, what: string): void {
  if (found !== owner) throw corrupt(`${what} belongs to ${found}`, { ino: owner, pos, field: 'owner' });
}
