import { memoryDevice } from '@iomap/block-device';
import { BufferCache, type Buf } from '@iomap/buffer-cache';
import { FsError } from '@iomap/io';
import { eachEntry, findEntry, writeEntry } from './dir-block.js';

const BLOCK = 1024;

/** A block whose first entry is `recLen` long, with zeroes behind it. */
function blockOf(recLen: number): Buf {
  const buf = new BufferCache(memoryDevice({ sizeBytes: 65_536 }), { budgetBytes: 65_536 }).get(0, BLOCK);
  buf.zero();
  writeEntry(buf, 0, recLen, { name: 'a', ino: 11, fileType: 1 });
  return buf;
}

describe('a block of directory entries', () => {
  it.each([1012, 1016, 1020])('is corrupt, not a crash, when an entry of %d bytes leaves too little behind it', (recLen) => {
    const buf = blockOf(recLen);
    const names: number[] = [];
    expect(() => eachEntry(buf, BLOCK, 0, (offset) => names.push(offset) > 0)).toThrow(FsError);
    expect(names).toEqual([0]);
    expect(() => findEntry(buf, BLOCK, 'missing')).toThrow(expect.objectContaining({ code: 'EUCLEAN' }) as Error);
  });

  it('ends with an entry that fills it', () => {
    const names: number[] = [];
    expect(eachEntry(blockOf(BLOCK), BLOCK, 0, (offset) => names.push(offset) > 0)).toBe(true);
    expect(names).toEqual([0]);
  });
});
