import * as fc from 'fast-check';
import { AddressSpace, PageCache, type Folio } from './index.js';

const BLOCK = 1024;
const MiB = 2 ** 20;

/** Positions cluster, so that folios meet, and reach over many 2 MiB chunks. */
const posArb = fc.tuple(fc.constantFrom(0, 1, 2, 3, 7, 5_000_000), fc.nat(40)).map(([chunk, block]) => chunk * 2 * MiB + block * BLOCK);

it('finds folios, dirty ones and ranges as a plain list does', () => {
  const stepArb = fc.record({
    kind: fc.constantFrom('add', 'add', 'drop', 'dirty', 'clean', 'search'),
    pos: posArb,
    len: fc.oneof(fc.integer({ min: 1, max: 64 * BLOCK }), fc.constant(100 * MiB), fc.constant(Infinity)),
  });
  fc.assert(
    fc.property(fc.array(stepArb, { maxLength: 120 }), (steps) => {
      const cache = new PageCache({ budgetBytes: 16 * MiB });
      const mapping = new AddressSpace(cache, {
        name: 'test', blockSize: BLOCK, host: { *writeback() { throw new Error('not asked for'); } },
      });
      let list: Folio[] = [];
      const first = (pos: number, end: number, dirty: boolean): Folio | undefined =>
        list.filter((f) => f.pos < end && f.end > pos && (!dirty || f.dirty)).sort((a, b) => a.pos - b.pos)[0];
      for (const { kind, pos, len } of steps) {
        const there = list.find((f) => pos >= f.pos && pos < f.end);
        expect(mapping.lookup(pos)).toBe(there);
        if (kind === 'add') {
          const made = mapping.tryAlloc(pos, Math.min(len, MiB));
          expect(made === undefined).toBe(there !== undefined);
          if (made === undefined) continue;
          expect(made.pos % made.size).toBe(0);
          expect(list.some((f) => f.pos < made.end && f.end > made.pos)).toBe(false);
          made.setUptodate(0, made.size);
          made.unlock();
          list.push(made);
        } else if (kind === 'drop' && there !== undefined) {
          mapping.drop(there);
          list = list.filter((f) => f !== there);
        } else if (kind === 'dirty') there?.markDirty(pos - there.pos, pos - there.pos + 1);
        else if (kind === 'clean') there?.clearDirty(0, there.size);
        expect(mapping.nextFolio(pos, pos + len)).toBe(first(pos, pos + len, false));
        expect(mapping.nextDirty(pos, pos + len)).toBe(first(pos, pos + len, true));
        expect(mapping.folioCount).toBe(list.length);
        expect(cache.dirtyBytes).toBe(list.reduce((sum, f) => sum + f.dirtyCount * BLOCK, 0));
        expect(cache.dirtyFolioCount).toBe(list.filter((f) => f.dirty).length);
      }
      mapping.dropAll();
      expect([cache.usedBytes, cache.dirtyBytes, cache.folioCount]).toEqual([0, 0, 0]);
    }),
    { numRuns: 300 },
  );
});

it('keeps two bits per block as two plain arrays would', () => {
  const stepArb = fc.record({ kind: fc.constantFrom('uptodate', 'stale', 'dirty', 'clean'), a: fc.nat(69 * 512), b: fc.nat(69 * 512) });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.array(stepArb, { maxLength: 30 }), (order, steps) => {
      const cache = new PageCache({ budgetBytes: MiB });
      const mapping = new AddressSpace(cache, { name: 'test', blockSize: 512, host: { *writeback() { throw new Error('no'); } } });
      const folio = mapping.tryAlloc(0, 512 * 2 ** order);
      if (folio === undefined) throw new Error('no folio');
      const { blockCount, size } = folio;
      const uptodate = new Array<boolean>(blockCount).fill(false);
      const dirty = new Array<boolean>(blockCount).fill(false);
      for (const { kind, a, b } of steps) {
        const from = Math.min(a, b) % size;
        const to = Math.min(size, Math.max(a, b) + 1);
        const inner = (list: boolean[], value: boolean): void => {
          list.fill(value, Math.ceil(from / 512), Math.max(Math.ceil(from / 512), Math.floor(to / 512)));
        };
        if (kind === 'uptodate') {
          folio.setUptodate(from, to);
          inner(uptodate, true);
        } else if (kind === 'stale') {
          folio.clearUptodate(from, to);
          inner(uptodate, false);
        } else if (kind === 'clean') {
          folio.clearDirty(from, to);
          inner(dirty, false);
        } else {
          folio.markDirty(from, to);
          dirty.fill(true, Math.floor(from / 512), Math.ceil(to / 512));
        }
        expect(folio.uptodateCount).toBe(uptodate.filter(Boolean).length);
        expect(folio.dirtyCount).toBe(dirty.filter(Boolean).length);
        expect(folio.isUptodate(from, to)).toBe(uptodate.slice(Math.floor(from / 512), Math.ceil(to / 512)).every(Boolean));
        expect(folio.isDirty(from, to)).toBe(dirty.slice(Math.floor(from / 512), Math.ceil(to / 512)).every(Boolean));
        const start = Math.floor(from / 512);
        const find = (list: boolean[], value: boolean): number => {
          const at = list.indexOf(value, start);
          return (at < 0 ? blockCount : at) * 512;
        };
        expect(folio.nextDirty(start * 512, size)).toBe(find(dirty, true));
        expect(folio.nextClean(start * 512, size)).toBe(find(dirty, false));
        expect(folio.nextUptodate(start * 512, size)).toBe(find(uptodate, true));
        expect(folio.nextNotUptodate(start * 512, size)).toBe(find(uptodate, false));
      }
    }),
    { numRuns: 300 },
  );
});
