import * as fc from 'fast-check';
import { BufferPool } from './buffer-pool.js';

it('hands out memory that never overlaps, within the budget, and gets all of it back', () => {
  const stepArb = fc.record({ order: fc.nat(5), drop: fc.boolean(), pick: fc.nat() });
  fc.assert(
    fc.property(fc.integer({ min: 2048, max: 300_000 }), fc.array(stepArb, { maxLength: 200 }), (budget, steps) => {
      const pool = new BufferPool(budget);
      const held: { unit: number; size: number; tag: number; view: Uint8Array }[] = [];
      let tag = 0;
      for (const { order, drop, pick } of steps) {
        if (drop && held.length > 0) {
          const [one] = held.splice(pick % held.length, 1);
          if (one === undefined) continue;
          // Nobody else wrote into it.
          expect(one.view.every((byte) => byte === one.tag)).toBe(true);
          pool.free(one.unit, one.size);
        } else {
          const size = 512 * 2 ** order;
          const unit = pool.alloc(size);
          if (unit < 0) continue;
          tag = (tag % 250) + 1;
          held.push({ unit, size, tag, view: pool.view(unit, size).fill(tag) });
        }
        expect(pool.heldBytes).toBeLessThanOrEqual(budget);
        expect(pool.usedBytes).toBe(held.reduce((sum, one) => sum + one.size, 0));
      }
      for (const one of held) pool.free(one.unit, one.size);
      // Merged again: the largest buffers fit, as many as there are slabs.
      for (let n = Math.floor(budget / pool.slabBytes); n > 0; n--) expect(pool.alloc(pool.slabBytes)).toBeGreaterThanOrEqual(0);
      expect(pool.alloc(512)).toBe(-1);
    }),
    { numRuns: 200 },
  );
});
