/** Writing the primary superblock: counts, state, features. Backups are e2fsck's and resize2fs's business. */
import type { Io } from '@iomap/io';
import { SUPER_POS } from './ondisk.js';
import { encodeSuper } from './super.js';
import type { Volume } from './volume.js';

/** Encodes the superblock into its buffer and marks it dirty, if anything of it changed since. */
export function* writeSuper(vol: Volume, change: { readonly state?: number; readonly countMount?: boolean }): Io<void> {
  const { blockSize, groups } = vol;
  const pos = SUPER_POS - (SUPER_POS % blockSize);
  const buf = vol.buffers.peek(pos) ?? (yield* vol.buffers.read(pos, blockSize));
  encodeSuper(vol.info, buf.bytes, SUPER_POS - pos, {
    freeBlocks: groups.freeBlocksTotal,
    freeInodes: groups.freeInodesTotal,
    wtimeSec: Math.max(0, Math.min(2 ** 32 - 1, vol.env.now().sec)),
    ...change,
  });
  vol.superDirty = false;
  vol.markDirty(buf);
}
