/** What a block map takes beside the data. */
import { divCeil } from '@iomap/io';

/** Indirect blocks of a file of so many blocks without holes, by a map of `direct` blocks and trees of `perBlock` pointers. */
export function indirectBlocks(blocks: number, perBlock: number, direct: number): number {
  let rest = blocks - direct;
  if (rest <= 0) return 0;
  let total = 1;
  rest -= perBlock;
  if (rest <= 0) return total;
  const second = Math.min(rest, perBlock * perBlock);
  total += 1 + divCeil(second, perBlock);
  rest -= second;
  if (rest <= 0) return total;
  return total + 1 + divCeil(rest, perBlock * perBlock) + divCeil(rest, perBlock);
}
