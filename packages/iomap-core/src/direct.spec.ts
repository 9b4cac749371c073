/** Direct reads and writes: beside the cache, coherent with it, and told to the filesystem when they end. */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runAsync, runSync, type Io } from '@iomap/io';
import { IOMAP_F_BUFFERED, IOMAP_F_SHARED, type DioEnd, type DioOps, type IomapOps } from './iomap.js';
import { directRead, directWrite } from './direct.js';
import type { IoControl } from './control.js';
import type { ExtentFile } from './testing/extent-file.js';
import { allAre, BLOCK, filled, rig, type Rig, type RigOptions } from './testing/pitfall-rig.js';
import { slowDevice } from './testing/rig.js';
import { invalidateRange } from './truncate.js';

interface DirectRig extends Rig {
  readonly ended: DioEnd[];
  readonly synced: number[];
  readonly dops: DioOps<ExtentFile>;
  dwrite(pos: number, bytes: Uint8Array, control?: IoControl): number;
  dread(pos: number, len: number, control?: IoControl): Uint8Array;
}

function direct(options: RigOptions = {}): DirectRig {
  const r = rig(options);
  const ended: DioEnd[] = [];
  const synced: number[] = [];
  const dops: DioOps<ExtentFile> = {
    *endIo(inode, end) {
      ended.push(end);
      if (end.unwritten) inode.convert(end.pos, end.pos + end.done);
    },
    *sync(inode) {
      synced.push(inode.size);
    },
  };
  return {
    ...r, ended, synced, dops,
    dwrite: (pos, bytes, control) => runSync(directWrite(r.file, r.file.ops, dops, pos, bytes, control)),
    dread(pos, len, control) {
      const bytes = new Uint8Array(len);
      return bytes.subarray(0, runSync(directRead(r.file, r.file.ops, dops, pos, bytes, control)));
    },
  };
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};

describe('8, 14: a direct write', () => {
  it('goes to the device at once, grows the size, and leaves nothing in the cache', () => {
    const r = direct();
    expect(r.dwrite(0, filled(3 * BLOCK, 7))).toBe(3 * BLOCK);
    expect(r.file.size).toBe(3 * BLOCK);
    expect(r.file.mapping.folioCount).toBe(0);
    expect(r.bios).toEqual([{ op: 'write', pos: BLOCK, len: 3 * BLOCK, segments: 1 }]);
    expect(r.ended).toEqual([expect.objectContaining({ pos: 0, done: 3 * BLOCK, write: true, error: undefined })]);
    expect(allAre(r.dread(0, 3 * BLOCK), 7)).toBe(true);
    expect(allAre(r.read(0, 3 * BLOCK), 7)).toBe(true);
  });

  it('wants whole sectors', () => {
    const r = direct();
    expect(codeOf(() => r.dwrite(100, filled(512, 1)))).toBe('EINVAL');
    expect(codeOf(() => r.dwrite(512, filled(100, 1)))).toBe('EINVAL');
    expect(r.file.size).toBe(0);
    expect(r.bios).toEqual([]);
    r.write(0, filled(BLOCK, 1));
    expect(codeOf(() => r.dread(0, 100))).toBe('EINVAL');
    expect(codeOf(() => r.dread(10, 512))).toBe('EINVAL');
  });

  it.each([false, true])('of a part of a new block zeroes the rest of it (unwritten: %s)', (unwritten) => {
    const r = direct({ unwritten, blockSize: 4096 });
    expect(r.dwrite(BLOCK + 1024, filled(512, 7))).toBe(512);
    const at = r.file.entry(1).block * BLOCK;
    const disk = r.disk();
    expect(allAre(disk.subarray(at, at + 1024), 0)).toBe(true);
    expect(allAre(disk.subarray(at + 1024, at + 1536), 7)).toBe(true);
    expect(allAre(disk.subarray(at + 1536, at + BLOCK), 0)).toBe(true);
    expect(r.file.entry(1).state).toBe('mapped');
    expect(r.read(0, 2 * BLOCK)).toHaveLength(BLOCK + 1536);
    expect(allAre(r.read(0, BLOCK + 1024), 0)).toBe(true);
  });

  it('past the end zeroes the rest of the last block, also a mapped one', () => {
    const r = direct();
    r.file.setEntry(0, 'mapped', 9);
    r.file.size = 512;
    expect(r.dwrite(512, filled(512, 7))).toBe(512);
    expect(allAre(r.disk().subarray(9 * BLOCK + 1024, 10 * BLOCK), 0)).toBe(true);
    // And what is between the old end and the write.
    expect(r.dwrite(2048, filled(512, 8))).toBe(512);
    expect(allAre(r.read(1024, 1024), 0)).toBe(true);
    expect(allAre(r.read(512, 512), 7)).toBe(true);
  });

  it('drops what is cached before and after, and writes dirty neighbours first', () => {
    const r = direct();
    r.write(0, filled(4 * BLOCK, 1));
    r.dwrite(BLOCK, filled(BLOCK, 2));
    expect(r.cache.dirtyBytes).toBe(0);
    expect([0, 1, 2, 3].map((i) => r.read(i * BLOCK, 1)[0])).toEqual([1, 2, 1, 1]);
    const parts = r.dread(0, 4 * BLOCK);
    expect([0, 1, 2, 3].map((i) => parts[i * BLOCK])).toEqual([1, 2, 1, 1]);
  });

  it('drops what a reader brought in meanwhile', async () => {
    const r = direct();
    r.write(0, filled(4 * BLOCK, 1));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    const slow = slowDevice(r.device, () => 3);
    (r.file.options as { device: BlockDevice }).device = slow;
    const writing = runAsync(directWrite(r.file, r.file.ops, r.dops, 0, filled(BLOCK, 2), {}));
    // The write is on its way; the device still holds the old bytes.
    (r.file.options as { device: BlockDevice }).device = r.device;
    expect(r.read(0, 1)[0]).toBe(1);
    await writing;
    expect(r.read(0, 1)[0]).toBe(2);
  });

  it('tells how far it came when space runs out', () => {
    const r = direct({ freeBlocks: [5, 6, 7] });
    expect(r.dwrite(0, filled(5 * BLOCK, 1))).toBe(3 * BLOCK);
    expect(r.file.size).toBe(3 * BLOCK);
    expect(codeOf(() => r.dwrite(3 * BLOCK, filled(BLOCK, 1)))).toBe('ENOSPC');
  });

  it('that fails on the device is an error, or short where that is allowed, and tells the filesystem', () => {
    const r = direct({ freeBlocks: [5, 9, 12] });
    r.bad.push({ op: 'write', pos: 9 * BLOCK, len: 1 });
    expect(codeOf(() => r.dwrite(0, filled(3 * BLOCK, 1)))).toBe('EIO');
    expect(r.ended[0]).toMatchObject({ done: BLOCK, error: expect.objectContaining({ code: 'EIO' }) as object });
    expect(r.dwrite(0, filled(3 * BLOCK, 1), { partial: true })).toBe(BLOCK);
    expect(r.file.size).toBe(BLOCK);
  });

  it('whose end fails grows nothing', () => {
    const r = direct();
    r.dops.endIo = function* (): Io<void> {
      throw new FsError('ENOSPC');
    };
    expect(codeOf(() => r.dwrite(0, filled(BLOCK, 1)))).toBe('ENOSPC');
    expect(r.file.size).toBe(0);
  });

  it('over delayed allocation goes through the cache, and out', () => {
    const r = direct({ delalloc: true });
    expect(r.dwrite(0, filled(2 * BLOCK, 3))).toBe(2 * BLOCK);
    expect(r.cache.counters.directFallbackBytes).toBe(2 * BLOCK);
    expect(r.cache.dirtyBytes).toBe(0);
    expect(r.file.mapping.folioCount).toBe(0);
    expect(r.disk()[r.file.entry(1).block * BLOCK]).toBe(3);
    expect(r.file.size).toBe(2 * BLOCK);
  });

  it('over a part of a shared block goes through the cache', () => {
    const r = direct();
    r.dwrite(0, filled(BLOCK, 1));
    const { ops } = r.file;
    const shared: IomapOps<ExtentFile> = {
      *begin(inode, pos, length, flags, out, src) {
        yield* ops.begin(inode, pos, length, flags, out, src);
        out.flags |= IOMAP_F_SHARED;
      },
    };
    expect(runSync(directWrite(r.file, shared, r.dops, 512, filled(512, 2)))).toBe(512);
    expect(r.cache.counters.directFallbackBytes).toBe(512);
    expect([r.read(0, 1)[0], r.read(512, 1)[0], r.read(1024, 1)[0]]).toEqual([1, 2, 1]);
  });

  it('with inline data writes into the inode', () => {
    const r = direct({ inlineMaxBytes: 1024 });
    expect(r.dwrite(0, filled(512, 4))).toBe(512);
    expect(r.bios).toEqual([]);
    expect(allAre(r.dread(0, 512), 4)).toBe(true);
  });
});

describe('14: O_DSYNC', () => {
  it('is FUA alone where blocks are only overwritten', () => {
    const r = direct();
    r.dwrite(0, filled(2 * BLOCK, 1));
    r.dwrite(0, filled(2 * BLOCK, 2), { dsync: true });
    expect(r.cache.counters.fuaBios).toBe(1);
    expect(r.synced).toEqual([]);
  });

  it('makes the size durable after an append', () => {
    const r = direct();
    r.dwrite(0, filled(BLOCK, 1), { dsync: true });
    expect(r.cache.counters.fuaBios).toBe(0);
    expect(r.synced).toEqual([BLOCK]);
  });

  it('syncs after unwritten blocks were converted', () => {
    const r = direct({ unwritten: true });
    r.file.preallocate(0, 2);
    r.file.size = 2 * BLOCK;
    r.dwrite(0, filled(BLOCK, 1), { dsync: true });
    expect(r.synced).toHaveLength(1);
    expect(r.cache.counters.fuaBios).toBe(0);
  });
});

describe('14: no-wait and overwrite-only', () => {
  it('are EAGAIN where they would have to wait or allocate, and change nothing', () => {
    const r = direct({ peeks: () => true });
    r.write(0, filled(BLOCK, 1));
    expect(codeOf(() => r.dwrite(0, filled(BLOCK, 2), { nowait: true }))).toBe('EAGAIN');
    expect(codeOf(() => r.dread(0, BLOCK, { nowait: true }))).toBe('EAGAIN');
    expect(codeOf(() => r.dwrite(BLOCK, filled(BLOCK, 2), { overwriteOnly: true }))).toBe('EAGAIN');
    expect(r.file.size).toBe(BLOCK);
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    expect(r.dwrite(0, filled(BLOCK, 2), { nowait: true, overwriteOnly: true })).toBe(BLOCK);
    expect(r.dread(0, BLOCK, { nowait: true })[0]).toBe(2);
  });

  it('of unwritten blocks is no overwrite', () => {
    const r = direct({ unwritten: true });
    r.file.preallocate(0, 2);
    r.file.size = 2 * BLOCK;
    expect(codeOf(() => r.dwrite(0, filled(BLOCK, 2), { overwriteOnly: true }))).toBe('EAGAIN');
    expect(r.ended).toEqual([]);
  });

  it('a no-wait read goes over all its extents', () => {
    const r = direct({ freeBlocks: [5, 9, 12, 20], peeks: () => true });
    r.dwrite(0, filled(4 * BLOCK, 6));
    expect(r.dread(0, 4 * BLOCK, { nowait: true })).toHaveLength(4 * BLOCK);
  });
});

describe('14: a direct read', () => {
  it('takes holes and unwritten blocks as zeroes, and clips at the size', () => {
    const r = direct({ unwritten: true });
    r.dwrite(2 * BLOCK, filled(BLOCK, 5));
    r.file.preallocate(1, 1);
    r.file.size = 2 * BLOCK + 100;
    const bytes = filled(4 * BLOCK, 0xee);
    expect(runSync(directRead(r.file, r.file.ops, r.dops, 0, bytes))).toBe(2 * BLOCK + 100);
    expect(allAre(bytes.subarray(0, 2 * BLOCK), 0)).toBe(true);
    expect(allAre(bytes.subarray(2 * BLOCK, 2 * BLOCK + 100), 5)).toBe(true);
    // What is behind the end of the file is nobody's business.
    expect(allAre(bytes.subarray(2 * BLOCK + 100), 0xee)).toBe(true);
    expect(r.file.mapping.folioCount).toBe(0);
  });

  it('of a bad sector is EIO, or short up to it', () => {
    const r = direct({ freeBlocks: [5, 9] });
    r.dwrite(0, filled(2 * BLOCK, 5));
    r.bad.push({ op: 'read', pos: 9 * BLOCK, len: 1 });
    expect(codeOf(() => r.dread(0, 2 * BLOCK))).toBe('EIO');
    expect(r.dread(0, 2 * BLOCK, { partial: true })).toHaveLength(BLOCK);
    expect(codeOf(() => r.dread(BLOCK, BLOCK, { partial: true }))).toBe('EIO');
  });

  it('goes through the cache where the filesystem wants it', () => {
    const r = direct();
    r.dwrite(0, filled(BLOCK, 5));
    const { ops } = r.file;
    const buffered: IomapOps<ExtentFile> = {
      *begin(inode, pos, length, flags, out, src) {
        yield* ops.begin(inode, pos, length, flags, out, src);
        out.flags |= IOMAP_F_BUFFERED;
      },
    };
    const bytes = new Uint8Array(BLOCK);
    expect(runSync(directRead(r.file, buffered, r.dops, 0, bytes))).toBe(BLOCK);
    expect(r.file.mapping.folioCount).toBe(1);
    expect(allAre(bytes, 5)).toBe(true);
  });
});

it('splits what is longer than a bio of the device', () => {
  const r = direct();
  const limits = { ...r.device.limits, maxBioBytes: 3 * 512 };
  (r.file.options as { device: BlockDevice }).device = { ...r.device, limits, submit: (bio) => r.device.submit(bio) };
  r.dwrite(0, filled(2 * BLOCK, 8));
  expect(Math.max(...r.bios.map((bio) => bio.len))).toBe(1536);
  expect(allAre(r.dread(0, 2 * BLOCK), 8)).toBe(true);
});
