/** How large a file may be, and the feature that large ones need. */
import { RO_COMPAT } from './ondisk.js';
import type { Volume } from './volume.js';

/** Files beyond this need the `large_file` feature. */
const SMALL_FILE_MAX = 2 ** 31 - 1;

/** The format's limit: what the trees map, and what fits `i_blocks` (2^32 units of 512 bytes, tree blocks included). */
export function fileSizeMax(vol: Pick<Volume, 'blockSize' | 'sectorsPerBlock' | 'map'>): number {
  const perBlock = vol.blockSize / 4;
  const limit = Math.floor((2 ** 32 - 1) / vol.sectorsPerBlock);
  const mapped = vol.map.blocksMax;
  let blocks = mapped;
  if (mapped + 3 + 2 * perBlock + perBlock ** 2 > limit) {
    // Data and the tree blocks above it share the limit.
    let rest = limit - 12 - perBlock;
    let tree = 1;
    if (rest < perBlock ** 2) {
      tree += 1 + Math.ceil(rest / perBlock);
    } else {
      tree += 1 + perBlock;
      rest -= perBlock ** 2;
      tree += 1 + Math.ceil(rest / perBlock) + Math.ceil(rest / perBlock ** 2);
    }
    blocks = limit - tree;
  }
  return Math.min(blocks * vol.blockSize, Number.MAX_SAFE_INTEGER);
}

/** Sets the feature that a file of this size needs. */
export function noteSize(vol: Volume, size: number): void {
  if (size <= SMALL_FILE_MAX) return;
  const { info } = vol;
  if ((info.roCompat & RO_COMPAT.large_file) !== 0) return;
  info.revision = 1;
  info.roCompat |= RO_COMPAT.large_file;
  vol.superDirty = true;
}
