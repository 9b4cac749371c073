/** Which driver is loaded for an image: by its first bytes, as the driver's own probe would say. */
import { memoryDevice } from '@iomap/block-device';
import { runSync } from '@iomap/io';
import { DRIVERS } from './drivers.js';
import { detect } from './image.js';

const SIZE = 65_536;

function withBytes(at: number, bytes: readonly number[]) {
  const device = memoryDevice({ sizeBytes: SIZE });
  const block = new Uint8Array(4096);
  block.set(bytes, at);
  void device.submit({ op: 'write', pos: 0, segments: [block], lengthBytes: block.length });
  return device;
}

const MARKS: readonly (readonly [type: string, at: number, bytes: readonly number[]])[] = [
  ['ext2', 1080, [0x53, 0xef]],
  ['xfs', 0, [0x58, 0x46, 0x53, 0x42]],
  ...[[0x7f, 0x13], [0x8f, 0x13], [0x68, 0x24], [0x78, 0x24]].flatMap((two) => [['minix', 1040, two], ['minix', 1040, [...two].reverse()]] as const),
  ['minix', 1048, [0x5a, 0x4d]],
  ['minix', 1048, [0x4d, 0x5a]],
];

describe('detection', () => {
  it.each(MARKS)('%s by what is at byte %i: %p', async (type, at, bytes) => {
    const device = withBytes(at, bytes);
    expect((await detect(device))?.type).toBe(type);
    for (const { type: other, load } of DRIVERS) {
      const driver = await load();
      expect([other, runSync(driver.probe(device))]).toEqual([other, other === type]);
    }
  });

  it('finds nothing in zeroes, in one byte too few of a mark, or in next to nothing', async () => {
    for (const device of [withBytes(0, []), withBytes(0, [0x58, 0x46, 0x53]), memoryDevice({ sizeBytes: 512 })]) {
      expect(await detect(device)).toBeUndefined();
    }
  });
});
