import { BufferCache } from '@iomap/buffer-cache';
import { memoryDevice } from '@iomap/block-device';
import { FsError, runSync, SeededRandom } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { countSet } from './bitmap.js';
import { ExtentCache, type MapRun } from './extent-cache.js';
import { BlockMap, type MapHost, type MappedInode, type MapShape } from './map.js';
import { truncateBlocks, unmapRun } from './map-truncate.js';
import { Reservations, type Reservation } from './reservation.js';
import { allocRun, freeRun, type BitmapSpace } from './run-alloc.js';

const BLOCK = 512;
const BLOCKS = 6000;
const FIRST = 10;
const seed = testSeed();

class TestInode implements MappedInode {
  readonly ino = 5;
  readonly isFile = true;
  readonly block: number[];
  cookie = 0;
  readonly extents = new ExtentCache();
  nextFileBlock = -1;
  nextBlock = 0;
  blocks = 0;
  reservation: Reservation | undefined = undefined;

  constructor(words: number) {
    this.block = Array.from({ length: words }, () => 0);
  }

  get extentsIfAny(): ExtentCache {
    return this.extents;
  }

  mapChanged(): void {
    this.cookie++;
  }
}

/** A filesystem that is nothing but one bitmap and block maps. */
function makeHost(shape: MapShape, flip: number): { map: BlockMap<TestInode>; space: BitmapSpace; bits: Uint8Array } {
  const device = memoryDevice({ sizeBytes: BLOCKS * shape.blockSize });
  const buffers = new BufferCache(device, { budgetBytes: 2 ** 20 });
  // The bitmap is a buffer at the start; its bits are of the data blocks.
  const bitmap = buffers.get(0, 4096).zero();
  const space: BitmapSpace = {
    groupCount: 1,
    blocksPerGroup: BLOCKS - FIRST,
    firstBlock: FIRST,
    flip,
    reservations: new Reservations(),
    hints: new Int32Array(1),
    bitsIn: () => BLOCKS - FIRST,
    mayHaveFree: () => true,
    available: () => Infinity,
    peekBitmap: () => bitmap,
    *readBitmap() {
      return bitmap;
    },
    checkBitmap() {},
    overlapsMetadata: () => false,
    isDataRange: (block, count) => block >= FIRST && block + count <= BLOCKS,
    markDirty: (buf) => buf.markDirty(),
    changed() {},
  };
  const host: MapHost<TestInode> = {
    shape,
    buffers,
    isDataRange: space.isDataRange,
    firstGoal: () => FIRST + 1,
    allocRun: (inode, request) => allocRun(space, { ...request, holder: inode }),
    freeRun: (block, count) => freeRun(space, block, count),
    markDirty: (buf, inode) => buf.markDirty(inode),
    blocksChanged(inode, by) {
      inode.blocks += by;
    },
    dropReservation: (inode) => space.reservations.drop(inode),
  };
  return { map: new BlockMap(host), space, bits: bitmap.bytes };
}

const SHAPES: readonly (MapShape & { readonly flip: number })[] = [
  { direct: 7, levels: 2, pointerBytes: 2, littleEndian: true, blockSize: BLOCK, treeBytes: BLOCK, flip: 0 },
  { direct: 7, levels: 3, pointerBytes: 4, littleEndian: false, blockSize: BLOCK, treeBytes: BLOCK, flip: 7 },
  { direct: 12, levels: 3, pointerBytes: 4, littleEndian: true, blockSize: BLOCK, treeBytes: BLOCK, flip: 0 },
  { direct: 7, levels: 2, pointerBytes: 2, littleEndian: false, blockSize: 2 * BLOCK, treeBytes: BLOCK, flip: 1 },
];

/** What is mapped: file block to block. */
type Model = Map<number, number>;

function compare(map: BlockMap<TestInode>, inode: TestInode, model: Model, at: number): void {
  const run: MapRun = { block: 0, count: 0 };
  runSync(map.read(inode, at, run));
  expect([at, run.block]).toEqual([at, model.get(at) ?? 0]);
  expect(run.count).toBeGreaterThan(0);
  for (let i = 0; i < Math.min(run.count, 40); i++) {
    expect([at + i, model.get(at + i) ?? 0]).toEqual([at + i, run.block === 0 ? 0 : run.block + i]);
  }
}

describe.each(SHAPES)('a block map of $direct + $levels trees, pointers of $pointerBytes, little-endian $littleEndian', ({ flip, ...shape }) => {
  it(`maps what a table says, and gives all back (seed ${seed})`, () => {
    const random = new SeededRandom(seed);
    const { map, bits } = makeHost(shape, flip);
    const inode = new TestInode(shape.direct + shape.levels);
    const model: Model = new Map();
    const places = [0, shape.direct, shape.direct + map.perBlock, map.firstOf(shape.levels), Math.floor(map.blocksMax / 2)];
    for (let step = 0; step < 600; step++) {
      const base = places[random.below(places.length)] ?? 0;
      const fileBlock = Math.min(map.blocksMax - 1, base + random.below(300));
      const kind = random.below(10);
      if (kind < 6) {
        const run: MapRun = { block: 0, count: 0 };
        const want = 1 + random.below(60);
        const wasMapped = model.has(fileBlock);
        let isNew: boolean;
        try {
          isNew = runSync(map.alloc(inode, { fileBlock, want }, run));
        } catch (error) {
          if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
          continue;
        }
        expect(isNew).toBe(!wasMapped);
        if (isNew) for (let i = 0; i < run.count; i++) model.set(fileBlock + i, run.block + i);
        if (isNew && kind === 0 && run.count > 2) {
          // As a short write does.
          runSync(unmapRun(map, inode, fileBlock + 1, run.count - 1));
          for (let i = 1; i < run.count; i++) model.delete(fileBlock + i);
        }
      } else if (kind < 9) {
        compare(map, inode, model, fileBlock);
      } else {
        runSync(truncateBlocks(map, inode, fileBlock));
        for (const at of [...model.keys()]) if (at >= fileBlock) model.delete(at);
      }
      const used = countSet(bits, 0, BLOCKS - FIRST, flip);
      expect(used).toBe(inode.blocks);
      expect(used).toBeGreaterThanOrEqual(model.size);
    }
    // Without what is remembered the trees say the same.
    inode.extents.clear();
    for (const at of model.keys()) if (at % 7 === 0) compare(map, inode, model, at);
    runSync(truncateBlocks(map, inode, 0));
    expect(countSet(bits, 0, BLOCKS - FIRST, flip)).toBe(0);
    expect(inode.block.every((block) => block === 0)).toBe(true);
  });

  it('does not walk the tree again for sequential look-ups', () => {
    const { map } = makeHost(shape, flip);
    const inode = new TestInode(shape.direct + shape.levels);
    const run: MapRun = { block: 0, count: 0 };
    for (let at = 0; at < 400; at += run.count) runSync(map.alloc(inode, { fileBlock: at, want: 400 - at }, run));
    inode.extents.clear();
    for (let at = 0; at < 400; at++) runSync(map.read(inode, at, run));
    const { hits, misses } = map.host.buffers.counters;
    const walks = hits + misses;
    for (let at = 0; at < 400; at++) runSync(map.read(inode, at, run));
    expect(map.host.buffers.counters.hits + map.host.buffers.counters.misses).toBe(walks);
  });

  it('refuses pointers that lead outside', () => {
    const { map } = makeHost(shape, flip);
    const inode = new TestInode(shape.direct + shape.levels);
    const run: MapRun = { block: 0, count: 0 };
    inode.block[0] = BLOCKS;
    expect(() => map.peek(inode, 0, run)).toThrow(/EUCLEAN/);
    inode.block[shape.direct] = 1;
    expect(() => map.peek(inode, shape.direct, run)).toThrow(/EUCLEAN/);
    expect(() => map.peek(inode, map.blocksMax, run)).toThrow(/EFBIG/);
  });
});
