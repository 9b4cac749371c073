/** What a buffer head costs, measured: the figure that the conversion studies compare with two bits. */
import { PageCache } from '@iomap/page-cache';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BUFFER_HEAD_BYTES, BufferHead, PAGE_BYTES } from './buffer-head.js';
import { newPages } from './truncate.js';

const HEADS = 50_000;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heap(): number {
  if (typeof collect !== 'function') throw new Error('no garbage collector to call');
  Reflect.apply(collect, undefined, []);
  Reflect.apply(collect, undefined, []);
  return process.memoryUsage().heapUsed;
}

/** Bytes of one, mapped to a place from `addr` on; of the third run, since the first two make compiled code as well. */
function measured(addr: number): number {
  const mapping = newPages(new PageCache({ budgetBytes: 2 ** 20 }), 'test', { *writeback() {} });
  const folio = mapping.tryAlloc(0, PAGE_BYTES);
  if (folio === undefined) throw new Error('no folio');
  let bytes = 0;
  for (let run = 0; run < 3; run++) {
    const kept: BufferHead[] = Array.from({ length: HEADS });
    const before = heap();
    for (let n = 0; n < HEADS; n++) {
      const head = new BufferHead(folio, 0, PAGE_BYTES);
      head.addr = addr + n * PAGE_BYTES;
      kept[n] = head;
    }
    bytes = (heap() - before) / HEADS;
    expect(kept).toHaveLength(HEADS);
  }
  return bytes;
}

describe('a buffer head', () => {
  it('takes what the studies say it takes', () => {
    const bytes = measured(0);
    expect(Math.abs(bytes - BUFFER_HEAD_BYTES)).toBeLessThan(2);
  });

  it('and 16 bytes more beyond 2 GiB of the device, where its place is a number of its own on the heap', () => {
    const bytes = measured(2 ** 33);
    expect(Math.abs(bytes - BUFFER_HEAD_BYTES - 16)).toBeLessThan(2);
  });
});
