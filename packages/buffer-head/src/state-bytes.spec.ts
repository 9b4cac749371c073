/** What a buffer head costs, measured: the figure that the conversion studies compare with two bits. */
import { PageCache } from '@iomap/page-cache';
import { heapPerItem } from '@iomap/tools/testing';
import { BUFFER_HEAD_BYTES, BufferHead, PAGE_BYTES } from './buffer-head.js';
import { newPages } from './truncate.js';

const HEADS = 50_000;

/** Bytes of one, mapped to a place from `addr` on. */
function measured(addr: number): number {
  const mapping = newPages(new PageCache({ budgetBytes: 2 ** 20 }), 'test', { *writeback() {} });
  const folio = mapping.tryAlloc(0, PAGE_BYTES);
  if (folio === undefined) throw new Error('no folio');
  return heapPerItem<BufferHead[]>(HEADS, () => Array.from({ length: HEADS }), (kept) => {
    for (let n = 0; n < HEADS; n++) {
      const head = new BufferHead(folio, 0, PAGE_BYTES);
      head.addr = addr + n * PAGE_BYTES;
      kept[n] = head;
    }
  });
}

describe('a buffer head', () => {
  it('takes what the studies say it takes', () => {
    expect(Math.abs(measured(0) - BUFFER_HEAD_BYTES)).toBeLessThan(2);
  });

  it('and 16 bytes more beyond 2 GiB of the device, where its place is a number of its own on the heap', () => {
    expect(Math.abs(measured(2 ** 33) - BUFFER_HEAD_BYTES - 16)).toBeLessThan(2);
  });
});
