import { memoryDevice } from '@iomap/block-device';
import { runSync } from '@iomap/io';
import fc from 'fast-check';

import { BufferCache } from './buffer-cache.js';

const BLOCK = 512;
const BLOCKS = 24;

type Op =
  | { readonly do: 'write'; readonly block: number; readonly byte: number; readonly owner: number }
  | { readonly do: 'read' | 'forget'; readonly block: number }
  | { readonly do: 'owner'; readonly owner: number }
  | { readonly do: 'sync' | 'balance' };

const block = fc.nat(BLOCKS - 1);
const owner = fc.nat(2);
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ do: fc.constant('write' as const), block, byte: fc.nat(255), owner }),
  fc.record({ do: fc.constantFrom('read' as const, 'forget' as const), block }),
  fc.record({ do: fc.constant('owner' as const), owner }),
  fc.record({ do: fc.constantFrom('sync' as const, 'balance' as const) }),
);

describe('BufferCache against a plain model', () => {
  it('reads what was written, and the device holds what was synced', () => {
    const owners = [{}, {}, {}];
    fc.assert(
      fc.property(fc.array(op, { maxLength: 120 }), fc.integer({ min: 0, max: 12 }), (ops, budgetBlocks) => {
        const device = memoryDevice({ sizeBytes: BLOCKS * BLOCK });
        const cache = new BufferCache(device, { budgetBytes: budgetBlocks * BLOCK });
        const stored = new Uint8Array(BLOCKS);
        const pending = new Map<number, { byte: number; owners: Set<number> }>();
        const land = (wanted: (owners: Set<number>) => boolean): void => {
          for (const [at, one] of pending) {
            if (!wanted(one.owners)) continue;
            stored[at] = one.byte;
            pending.delete(at);
          }
        };
        for (const one of ops) {
          switch (one.do) {
            case 'write': {
              const buf = cache.get(one.block * BLOCK, BLOCK);
              buf.bytes.fill(one.byte);
              buf.initialise().markDirty(owners[one.owner]);
              const known = pending.get(one.block)?.owners ?? new Set<number>();
              pending.set(one.block, { byte: one.byte, owners: known.add(one.owner) });
              break;
            }
            case 'read': {
              const buf = runSync(cache.read(one.block * BLOCK, BLOCK));
              expect(buf.bytes[BLOCK - 1]).toBe(pending.get(one.block)?.byte ?? stored[one.block]);
              break;
            }
            case 'forget':
              cache.forget(one.block * BLOCK);
              pending.delete(one.block);
              break;
            case 'owner':
              runSync(cache.syncOwner(owners[one.owner] ?? {}));
              land((known) => known.has(one.owner));
              break;
            case 'balance':
              if (cache.overDirty) land(() => true);
              runSync(cache.balance());
              break;
            case 'sync':
              runSync(cache.sync());
              land(() => true);
              break;
          }
          expect(cache.dirtyBytes).toBe(pending.size * BLOCK);
          expect(cache.bytes).toBeLessThanOrEqual(Math.max(budgetBlocks, pending.size + 1) * BLOCK);
        }
        const image = device.toBytes();
        for (let at = 0; at < BLOCKS; at++) expect(image[at * BLOCK]).toBe(stored[at]);
      }),
      { numRuns: 300 },
    );
  });
});
