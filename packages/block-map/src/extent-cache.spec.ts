import fc from 'fast-check';
import { ExtentCache } from './extent-cache.js';

const step = fc.oneof(
  fc.record({ set: fc.constant(true), file: fc.nat(40), block: fc.oneof(fc.constant(0), fc.integer({ min: 100, max: 140 })), count: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ set: fc.constant(false), file: fc.nat(40), block: fc.constant(0), count: fc.constant(1) }),
);

describe('ExtentCache', () => {
  it('answers what was last said of each block', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const cache = new ExtentCache();
        const model = new Map<number, number>();
        for (const { set, file, block, count } of steps) {
          if (set) {
            cache.set(file, block, count);
            for (let i = 0; i < count; i++) model.set(file + i, block === 0 ? 0 : block + i);
          } else {
            cache.truncate(file);
            for (const key of [...model.keys()]) if (key >= file) model.delete(key);
          }
          for (let at = 0; at < 55; at++) {
            const out = { block: -1, count: -1 };
            const known = cache.find(at, out);
            expect(known).toBe(model.has(at));
            if (!known) continue;
            expect(out.block).toBe(model.get(at));
            for (let i = 0; i < out.count; i++) expect(model.get(at + i)).toBe(out.block === 0 ? 0 : out.block + i);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('keeps contiguous runs as one', () => {
    const cache = new ExtentCache();
    cache.set(12, 500, 4);
    cache.set(20, 508, 4);
    cache.set(16, 504, 4);
    expect(cache.size).toBe(1);
    const out = { block: 0, count: 0 };
    expect(cache.find(13, out)).toBe(true);
    expect(out).toEqual({ block: 501, count: 11 });
  });

  it('is bounded', () => {
    const cache = new ExtentCache();
    for (let i = 0; i < 5000; i++) cache.set(i * 2, 1000 + i * 7, 1);
    expect(cache.size).toBeLessThanOrEqual(512);
  });
});
