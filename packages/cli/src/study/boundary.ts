/**
 * The boundary of indirect blocks: the first blocks of a file lie before its first indirect block on disk, the rest after it. How many
 * requests a cold read across it takes, and whether they come in the order of the disk.
 */
import { runSync } from '@iomap/io';
import { countedDevice, type StudyDriver, type Way } from './mounts.js';
import { Subject } from './workloads.js';

const IMAGE_BYTES = 8 * 2 ** 20;
/** As published: 16 blocks, and the indirect block between them. */
const BLOCKS = 16;

export interface BoundaryCounts {
  readonly blocks: number;
  readonly requests: number;
  readonly inDiskOrder: boolean;
}

/** Reads the first 16 blocks of a file in one call, nothing cached. */
export function boundaryRead(driver: StudyDriver, way: Way): BoundaryCounts {
  const bytes = new Uint8Array(IMAGE_BYTES);
  driver.mkfs(countedDevice(bytes).device);
  const length = BLOCKS * driver.blockSize;
  const writer = new Subject(driver.mount(countedDevice(bytes).device, { way: 'iomap' }));
  writer.write(writer.create('file'), 0, new Uint8Array(length).fill(1));
  runSync(writer.fs.unmount());

  const reads: number[] = [];
  const { device } = countedDevice(bytes, ({ op, pos }) => {
    if (op === 'read') reads.push(pos);
  });
  const reader = new Subject(driver.mount(device, { way }));
  const inode = reader.open('file');
  reads.length = 0;
  // A byte less than all: the first whole read of a small file goes past the page cache, which is what is asked about.
  reader.read(inode, 0, new Uint8Array(length - 1));
  const inDiskOrder = reads.every((pos, n) => n === 0 || pos > (reads[n - 1] ?? 0));
  return { blocks: BLOCKS, requests: reads.length, inDiskOrder };
}
