/** An inode that nobody has: zeroes but for its identity. Made by mkfs and by the replay of new inodes. */
import { putSum } from './crc32c.js';
import { DINODE_MAGIC, NULL_AGINO, XfsDinode } from './ondisk.js';

export interface InodeIdentity {
  readonly v5: boolean;
  readonly inodeSize: number;
  readonly metaUuid: Uint8Array;
}

/** Overwrites the slot at `at`. */
export function putFreshInode(info: InodeIdentity, bytes: Uint8Array, at: number, ino: number, generation: number): void {
  const o = XfsDinode.offsets;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  bytes.fill(0, at, at + info.inodeSize);
  view.setUint16(at, DINODE_MAGIC);
  view.setUint8(at + o.di_version, info.v5 ? 3 : 2);
  view.setUint32(at + o.di_gen, generation);
  view.setUint32(at + o.di_next_unlinked, NULL_AGINO);
  if (!info.v5) return;
  view.setUint32(at + o.di_ino, Math.floor(ino / 2 ** 32));
  view.setUint32(at + o.di_ino + 4, ino % 2 ** 32);
  bytes.set(info.metaUuid, at + o.di_uuid);
  putSum(bytes, at, at + info.inodeSize, o.di_crc);
}
