import { unpackExtent } from '../extents.js';
import { EXTENT_BLOCKS_MAX, ExtentWriter } from './extent-writer.js';

function extentsOf(writer: ExtentWriter): unknown[] {
  const view = new DataView(new ArrayBuffer(16));
  return Array.from({ length: writer.count }, (_, i) => {
    writer.put(view, 0, i);
    return unpackExtent(view, 0);
  });
}

describe('ExtentWriter', () => {
  it('joins what goes on, and keeps apart what does not', () => {
    const writer = new ExtentWriter(4096);
    writer.add(0, 100, 10);
    writer.add(10, 110, 5);
    writer.add(20, 115, 5);
    writer.add(25, 200, 1);
    expect(extentsOf(writer)).toEqual([
      { off: 0, block: 100, count: 15, unwritten: false },
      { off: 20, block: 115, count: 5, unwritten: false },
      { off: 25, block: 200, count: 1, unwritten: false },
    ]);
    expect(writer.blocks).toBe(21);
  });

  it('splits where the count of a mapping ends', () => {
    const writer = new ExtentWriter(4096);
    for (let at = 0; at < 2 ** 22 + 10; at += 512) writer.add(at, 5000 + at, 512);
    const max = EXTENT_BLOCKS_MAX;
    expect(extentsOf(writer)).toEqual([
      { off: 0, block: 5000, count: max, unwritten: false },
      { off: max, block: 5000 + max, count: max, unwritten: false },
      { off: 2 * max, block: 5000 + 2 * max, count: 2 ** 22 + 512 - 2 * max, unwritten: false },
    ]);
  });
});
