/** The table of look-up counts against a Map. */
import * as fc from 'fast-check';
import { LookupTable } from './lookup-table.js';

describe('LookupTable', () => {
  it('counts as a map does, whatever the order', () => {
    const command = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 3 }));
    fc.assert(
      fc.property(fc.array(command, { maxLength: 800 }), (commands) => {
        const table = new LookupTable();
        const model = new Map<number, number>();
        for (const [isAdd, ino, count] of commands) {
          const had = model.get(ino) ?? 0;
          if (isAdd) {
            table.add(ino);
            model.set(ino, had + 1);
          } else {
            expect(table.remove(ino, count)).toBe(had > 0 && had <= count);
            if (had <= count) model.delete(ino);
            else model.set(ino, had - count);
          }
          expect(table.get(ino)).toBe(model.get(ino) ?? 0);
        }
        expect(table.size).toBe(model.size);
        for (let ino = 1; ino <= 400; ino++) expect(table.get(ino)).toBe(model.get(ino) ?? 0);
      }),
      { numRuns: 40 },
    );
  });

  it('takes a million inodes in 24 MiB and gives the memory back', () => {
    const table = new LookupTable();
    for (let ino = 11; ino < 1_000_011; ino++) table.add(ino);
    expect(table.size).toBe(1_000_000);
    expect(table.bytes).toBeLessThanOrEqual(24 * 2 ** 20 + 2 ** 20);
    for (let ino = 11; ino < 1_000_011; ino += 997) expect(table.get(ino)).toBe(1);
    let missed = 0;
    for (let ino = 11; ino < 1_000_011; ino++) if (!table.remove(ino, 1)) missed++;
    expect(missed).toBe(0);
    expect(table.size).toBe(0);
    expect(table.bytes).toBeLessThan(100_000);
  });

  it('tells numbers beyond 32 bits apart', () => {
    const table = new LookupTable();
    table.add(5);
    table.add(5 + 2 ** 32);
    table.add(5 + 2 ** 32);
    expect([table.get(5), table.get(5 + 2 ** 32), table.get(5 + 2 ** 33)]).toEqual([1, 2, 0]);
  });
});
