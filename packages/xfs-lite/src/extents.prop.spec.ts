import fc from 'fast-check';
import { packExtent, unpackExtent, ExtentList, type Extent, type MapRun } from './extents.js';
import { decodeTime, encodeTime, BIGTIME_MAX_SEC } from './inode.js';
import { putRange, takeRange } from './log/intents.js';

const extent = fc.record({
  off: fc.integer({ min: 0, max: 2 ** 53 - 1 }),
  block: fc.integer({ min: 0, max: 2 ** 52 - 1 }),
  count: fc.integer({ min: 1, max: 2 ** 21 - 1 }),
  unwritten: fc.boolean(),
});

/** A fork as a string of blocks: what is at each file block, or a dot. */
function blocksOf(extents: readonly Extent[], length: number): number[] {
  const blocks = new Array<number>(length).fill(-1);
  for (const { off, block, count } of extents) for (let i = 0; i < count; i++) blocks[off + i] = block + i;
  return blocks;
}

const fork = fc.array(fc.record({ gap: fc.integer({ min: 0, max: 4 }), count: fc.integer({ min: 1, max: 6 }), block: fc.integer({ min: 100, max: 9000 }) }), { maxLength: 8 }).map((pieces) => {
  let off = 0;
  return pieces.map(({ gap, count, block }) => {
    const one: Extent = { off: off + gap, block: block * 10, count, unwritten: false };
    off += gap + count;
    return one;
  });
});

describe('extents', () => {
  it('pack and unpack', () => {
    fc.assert(
      fc.property(extent, (one) => {
        const view = new DataView(new ArrayBuffer(24));
        packExtent(view, 4, one);
        expect(unpackExtent(view, 4)).toEqual(one);
      }),
    );
  });

  it('are found block by block', () => {
    fc.assert(
      fc.property(fork, (extents) => {
        const list = ExtentList.of(extents);
        const blocks = blocksOf(extents, 100);
        const run: MapRun = { block: 0, count: 0, unwritten: false };
        for (const at of [0, 50, 3, 4, 5, 99, 1, 20, 21, 22, 10, 9, 8]) {
          list.find(at, 100, run);
          expect(run.block).toBe(blocks[at]);
          expect(run.count).toBeGreaterThan(0);
          for (let i = 0; i < run.count; i++) expect(blocks[at + i]).toBe(run.block < 0 ? -1 : run.block + i);
        }
      }),
    );
  });

  it('ranges are taken out and put in as blocks are', () => {
    fc.assert(
      fc.property(fork, fork, fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 30 }), (a, b, from, count) => {
        const [before, other] = [blocksOf(a, 200), blocksOf(b, 200)];
        const [one, two] = [[...a], [...b]];
        const out = takeRange(one, from, from + count);
        const back = takeRange(two, from + 7, from + 7 + count);
        putRange(one, back, -7);
        putRange(two, out, 7);
        const wantOne = before.map((block, i) => (i >= from && i < from + count ? (other[i + 7] ?? -1) : block));
        const wantTwo = other.map((block, i) => (i >= from + 7 && i < from + 7 + count ? (before[i - 7] ?? -1) : block));
        expect(blocksOf(one, 200)).toEqual(wantOne);
        expect(blocksOf(two, 200)).toEqual(wantTwo);
      }),
    );
  });
});

describe('times', () => {
  const view = new DataView(new ArrayBuffer(8));
  it('go round as 64 bits of nanoseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: BIGTIME_MAX_SEC - 1 }), fc.integer({ min: 0, max: 999_999_999 }), (sec, nsec) => {
        encodeTime(view, 0, { sec, nsec }, true);
        expect(decodeTime(view, 0, true)).toEqual({ sec, nsec });
      }),
    );
  });

  it('go round as two halves', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: 0, max: 999_999_999 }), (sec, nsec) => {
        encodeTime(view, 0, { sec, nsec }, false);
        expect(decodeTime(view, 0, false)).toEqual({ sec, nsec });
      }),
    );
  });
});
