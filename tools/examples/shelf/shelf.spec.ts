/** The tests that docs/porting.md asks for at each step of a read-only driver. */
import { memoryDeviceFrom, traceDevice, type BlockDevice } from '@iomap/block-device';
import { runAsync, runSync, type Bio, type Io } from '@iomap/io';
import { bufferedRead } from '@iomap/iomap-core';
import fc from 'fast-check';
import { mountShelf, shelfOps, type Shelf, type ShelfInode } from './driver.js';
import { makeShelf } from './make.js';

const BLOCK = 1024;

/** Bytes that say where they are; never zero. */
const data = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => 1 + ((i * 7 + seed * 13 + Math.floor(i / 251)) % 255));

/** Two blocks, a hole of three, a block and a half. */
function sparse(): Uint8Array {
  const content = data(6 * BLOCK + BLOCK / 2);
  content.fill(0, 2 * BLOCK, 5 * BLOCK);
  return content;
}

const files = [
  { name: 'empty', content: new Uint8Array(0) },
  { name: 'small', content: data(40) },
  { name: 'sparse', content: sparse() },
  { name: 'large', content: data(300 * BLOCK + 77, 3) },
  { name: 'behind', content: Uint8Array.from([...new Uint8Array(2 * BLOCK), ...data(10), ...new Uint8Array(BLOCK)]) },
];

const mounted = (image = makeShelf(files)): Shelf => runSync(mountShelf(memoryDeviceFrom(image)));

/** `toEqual` takes its time over large arrays. */
const areSame = (a: Uint8Array, b: Uint8Array | undefined): boolean => b !== undefined && Buffer.compare(a, b) === 0;

function open(shelf: Shelf, name: string): ShelfInode {
  const found = runSync(shelf.names()).find((one) => one.name === name);
  return runSync(shelf.inode(found?.ino ?? -1));
}

function* readAll(inode: ShelfInode, callBytes: number): Io<Uint8Array> {
  const bytes = new Uint8Array(inode.size);
  for (let pos = 0; pos < bytes.length; ) pos += yield* inode.read(pos, bytes.subarray(pos, pos + callBytes));
  return bytes;
}

describe('1: fiemap', () => {
  it('reports what the image has', () => {
    const shelf = mounted();
    const [first, second, ...rest] = runSync(open(shelf, 'sparse').extents());
    expect([first?.logical, first?.length, first?.flags]).toEqual([0, 2 * BLOCK, []]);
    expect([second?.logical, second?.length, second?.flags]).toEqual([5 * BLOCK, 2 * BLOCK, ['last']]);
    expect(rest).toEqual([]);
    expect(runSync(open(shelf, 'small').extents())).toMatchObject([{ logical: 0, length: 40, flags: ['inline', 'unaligned', 'last'] }]);
    expect(runSync(open(shelf, 'empty').extents())).toEqual([]);
  });

  it('says where the bytes are', () => {
    const image = makeShelf(files);
    for (const { physical, logical, length } of runSync(open(mounted(image), 'sparse').extents())) {
      const inside = Math.min(length, sparse().length - logical);
      expect(image.slice(physical, physical + inside)).toEqual(sparse().slice(logical, logical + inside));
    }
  });
});

describe('2: seek', () => {
  it('finds data and holes', () => {
    const inode = open(mounted(), 'sparse');
    expect(runSync(inode.seek(0, 'data'))).toBe(0);
    expect(runSync(inode.seek(0, 'hole'))).toBe(2 * BLOCK);
    expect(runSync(inode.seek(2 * BLOCK + 5, 'data'))).toBe(5 * BLOCK);
    expect(runSync(inode.seek(5 * BLOCK, 'hole'))).toBe(inode.size);
    expect(() => runSync(inode.seek(inode.size, 'data'))).toThrow('ENXIO');
  });

  it('finds no data behind the last', () => {
    const inode = open(mounted(), 'behind');
    expect(runSync(inode.seek(0, 'data'))).toBe(2 * BLOCK);
    expect(runSync(inode.seek(2 * BLOCK, 'hole'))).toBe(3 * BLOCK);
    expect(() => runSync(inode.seek(3 * BLOCK, 'data'))).toThrow('ENXIO');
  });
});

describe('3: direct reads', () => {
  it.each(files)('read $name', ({ name, content }) => {
    const inode = open(mounted(), name);
    const bytes = new Uint8Array(Math.ceil(content.length / 512 + 1) * 512).fill(9);
    expect(runSync(inode.readDirect(0, bytes))).toBe(content.length);
    expect(areSame(bytes.subarray(0, content.length), content)).toBe(true);
    expect(bytes.subarray(content.length).every((byte) => byte === 9)).toBe(true);
  });

  it('refuse what is not whole sectors', () => {
    expect(() => runSync(open(mounted(), 'large').readDirect(100, new Uint8Array(512)))).toThrow('EINVAL');
  });
});

describe('4: buffered reads', () => {
  it.each(files)('read $name in pieces of any size', ({ name, content }) => {
    for (const callBytes of [1, 100, 511, BLOCK, 5000, 2 ** 20]) {
      expect(areSame(runSync(readAll(open(mounted(), name), callBytes)), content)).toBe(true);
    }
  });

  it('read any range as the content has it', () => {
    const inode = open(mounted(), 'large');
    const content = files[3]?.content ?? new Uint8Array(0);
    fc.assert(
      fc.property(fc.nat(content.length + 10), fc.nat(5000), (pos, length) => {
        const bytes = new Uint8Array(length);
        const n = runSync(inode.read(pos, bytes));
        expect(n).toBe(Math.max(0, Math.min(length, content.length - pos)));
        expect(areSame(bytes.subarray(0, n), content.subarray(pos, pos + n))).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('read each block once, and holes not at all', () => {
    const bios: number[] = [];
    const device = traceDevice(memoryDeviceFrom(makeShelf(files)), { onBio: ({ bytes }) => bios.push(bytes) });
    const shelf = runSync(mountShelf(device));
    const inode = open(shelf, 'sparse');
    const before = bios.length;
    for (let round = 0; round < 2; round++) runSync(readAll(inode, 300));
    expect(bios.slice(before).reduce((sum, n) => sum + n, 0)).toBe(4 * BLOCK);
  });

  it('know without a wait what is cached', () => {
    const inode = open(mounted(), 'large');
    const bytes = new Uint8Array(100);
    const nowait = (): number => runSync(bufferedRead(inode, shelfOps, 0, bytes, { nowait: true }));
    expect(nowait).toThrow('EAGAIN');
    runSync(inode.read(0, bytes));
    expect(nowait()).toBe(100);
  });

  it('work on a device that takes time, for many readers at once', async () => {
    const memory = memoryDeviceFrom(makeShelf(files));
    const slow: BlockDevice = {
      name: 'slow', synchronous: false, sizeBytes: memory.sizeBytes, sectorSize: 512, readOnly: true, limits: memory.limits,
      submit: async (bio: Bio) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return memory.submit(bio);
      },
      close: () => undefined,
    };
    const shelf = await runAsync(mountShelf(slow));
    const names = await runAsync(shelf.names());
    const all = names.flatMap(({ ino }) => [0, 1, 2].map(async () => runAsync(readAll(await runAsync(shelf.inode(ino)), 7000))));
    for (const [i, bytes] of (await Promise.all(all)).entries()) expect(areSame(bytes, files[Math.floor(i / 3)]?.content)).toBe(true);
  });
});

describe('directories', () => {
  it('are files of names', () => {
    expect(runSync(mounted().names())).toEqual(files.map(({ name }, i) => ({ name, ino: i + 1 })));
    expect(() => runSync(mounted().inode(6))).toThrow('ENOENT');
  });
});

describe('images that lie', () => {
  it('are told from those that do not', () => {
    const image = makeShelf(files);
    image[0] = 0;
    expect(() => mounted(image)).toThrow('EUCLEAN');
  });

  it('have no extent outside the device', () => {
    const image = makeShelf(files);
    // The first extent of inode 3: its block on the device.
    new DataView(image.buffer, image.byteOffset).setUint32(BLOCK + 3 * 64 + 12, 0xff_ff_ff, true);
    const inode = open(mounted(image), 'sparse');
    expect(() => runSync(readAll(inode, 5000))).toThrow('EUCLEAN');
    expect(() => runSync(inode.readDirect(0, new Uint8Array(512)))).toThrow('EUCLEAN');
  });

  it('give an FsError or bytes, whatever is in the metadata', () => {
    const image = makeShelf(files);
    const codes = new Set<string>();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2 * BLOCK), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const bad = image.slice();
        for (const [at, byte] of changes) bad[at] = byte;
        try {
          const shelf = mounted(bad);
          for (const { ino } of runSync(shelf.names())) {
            const inode = runSync(shelf.inode(ino));
            const bytes = new Uint8Array(20_000);
            for (let pos = 0, n = 1; n > 0 && pos < 400 * BLOCK; pos += n) n = runSync(inode.read(pos, bytes));
            runSync(inode.extents());
          }
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(EUCLEAN|ENOENT)$/) as string });
          codes.add((error as { code: string }).code);
        }
      }),
      { numRuns: 150 },
    );
    expect(codes).toContain('EUCLEAN');
  });
});
