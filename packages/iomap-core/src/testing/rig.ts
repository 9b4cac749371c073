/** What tests are set up with: a device full of old bytes, and seeded choices. */
import { memoryDeviceFrom, type BlockDevice, type MemoryDevice } from '@iomap/block-device';
import type { Bio, IoResult } from '@iomap/io';

/** What the device holds before anything is written: it must never be seen in a file. */
export const OLD_BYTE = 0xa5;

export const oldDevice = (sizeBytes: number): MemoryDevice =>
  memoryDeviceFrom(new Uint8Array(sizeBytes).fill(OLD_BYTE));

/** The same device, answering by promises, after a number of turns that `next` gives. */
export function slowDevice(device: BlockDevice, next: () => number): BlockDevice & { inFlightMax: number } {
  let inFlight = 0;
  const slow = {
    name: 'slow',
    synchronous: false,
    sizeBytes: device.sizeBytes,
    sectorSize: device.sectorSize,
    readOnly: false,
    limits: device.limits,
    inFlightMax: 0,
    async submit(bio: Bio): Promise<IoResult> {
      inFlight++;
      slow.inFlightMax = Math.max(slow.inFlightMax, inFlight);
      for (let turns = next() % 5; turns >= 0; turns--) await Promise.resolve();
      inFlight--;
      return device.submit(bio);
    },
    close() {
      device.close();
    },
  };
  return slow;
}

/** xorshift32: choices that a seed repeats. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
}

/** Free blocks from 1: in order, or in runs of random length in random order. */
export function freeBlocks(count: number, next?: () => number): number[] {
  const blocks = Array.from({ length: count - 1 }, (_, i) => i + 1);
  if (next === undefined) return blocks;
  const runs: number[][] = [];
  while (blocks.length > 0) runs.push(blocks.splice(0, 1 + (next() % 6)));
  for (let i = runs.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    const a = runs[i] ?? [];
    runs[i] = runs[j] ?? [];
    runs[j] = a;
  }
  return runs.flat();
}
