import fc from 'fast-check';
import { BtreeLong, BtreeShort } from '../ondisk-trees.js';
import { levelBlocks, loadTree, treeBlocks, treeShape, type TreePlace, type TreeRecords } from './load-tree.js';

const KINDS = ['bno', 'cnt', 'ino', 'fino', 'rmap', 'refc', 'bmap'] as const;

/** Records that hold their index, 1 up. */
const numbered = (count: number): TreeRecords => ({
  count,
  put: (view, at, index) => view.setUint32(at, index + 1),
  putKey: (view, at, first, last) => {
    view.setUint16(at, (first + 1) % 65_536);
    view.setUint16(at + 2, (last + 1) % 65_536);
  },
});

describe('loadTree', () => {
  it('makes trees that hold every record once, in order, with even blocks, links and keys', () => {
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), fc.integer({ min: 0, max: 30_000 }), fc.constantFrom(512, 1024, 4096), fc.boolean(), (kind, count, blockSize, hasRoot) => {
        const shape = treeShape(kind, blockSize);
        const rootMax = hasRoot ? 9 : undefined;
        const levels = levelBlocks(shape, count, rootMax);
        const total = levels.reduce((a, b) => a + b, 0);
        if (!hasRoot) expect(treeBlocks(shape, count)).toBe(total);
        const bytes = new Uint8Array(total * blockSize);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const address = (index: number): number => 1000 + index * 3;
        const placeOf = (index: number): TreePlace => ({ bytes, view, at: index * blockSize, address: address(index), pos: index * blockSize });
        const top = loadTree(shape, numbered(count), { uuid: new Uint8Array(16).fill(7), owner: 5 }, placeOf, rootMax);
        expect(top.level).toBe(levels.length);
        expect(top.count).toBeLessThanOrEqual(rootMax ?? 1);
        const pointer = (at: number): number => (shape.pointerBytes === 8 ? view.getUint32(at + 4) : view.getUint32(at));
        const found: number[] = [];
        const lefts = new Map<number, number>();
        const visit = (where: number, level: number): void => {
          const at = ((where - 1000) / 3) * blockSize;
          const records = view.getUint16(at + 6);
          expect(view.getUint16(at + 4)).toBe(level);
          const before = lefts.get(level);
          expect(pointer(at + 8)).toBe(before ?? 0xffff_ffff);
          lefts.set(level, where);
          const max = level === 0 ? shape.leafMax : shape.nodeMax;
          expect(records).toBeLessThanOrEqual(max);
          if (levels[level] !== 1) expect(records).toBeGreaterThanOrEqual(Math.floor(max / 2));
          const body = at + (shape.pointerBytes === 8 ? BtreeLong.size : BtreeShort.size);
          for (let i = 0; i < records; i++) {
            if (level === 0) found.push(view.getUint32(body + i * shape.recordBytes));
            else {
              const start = found.length + 1;
              visit(pointer(body + shape.nodeMax * shape.keyBytes + i * shape.pointerBytes), level - 1);
              expect([view.getUint16(body + i * shape.keyBytes), view.getUint16(body + i * shape.keyBytes + 2)]).toEqual([start % 65_536, found.length % 65_536]);
            }
          }
        };
        top.address.forEach((where) => visit(where, levels.length - 1));
        expect(found.length).toBe(count);
        expect(found.every((n, i) => n === i + 1)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
