/** Writing the one field of the superblock that a mount changes: the state, which version 3 has not. */
import type { Io } from '@iomap/io';
import { MinixSuper, SUPER_POS } from './ondisk.js';
import type { Volume } from './volume.js';

/** Puts `state` into the superblock's buffer and marks it dirty. Nothing in version 3. */
export function* writeState(vol: Volume, state: number): Io<void> {
  const { blockSize, info } = vol;
  if (info.version === 3) return;
  const pos = SUPER_POS - (SUPER_POS % blockSize);
  const buf = vol.buffers.peek(pos) ?? (yield* vol.buffers.read(pos, blockSize));
  MinixSuper.in(info.littleEndian).at(buf.bytes, SUPER_POS - pos).s_state = state;
  vol.markDirty(buf);
}
