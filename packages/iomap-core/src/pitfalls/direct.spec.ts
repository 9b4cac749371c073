/** Bugs that real iomap conversions had, by their number: direct I/O beside the cache. */
import type { BlockDevice } from '@iomap/block-device';
import { FsError, runAsync, runSync, type Io } from '@iomap/io';
import { directRead, directWrite } from '../direct.js';
import { IOMAP_F_SHARED, type DioOps, type IomapOps } from '../iomap.js';
import { MappedFile } from '../mapped-file.js';
import { bufferedRead } from '../read.js';
import { extentRig, type ExtentRig } from '../testing/extent-rig.js';
import type { ExtentFile } from '../testing/extent-file.js';
import { extentOps, reflink, type ExtentInode } from '../testing/index.js';
import { allAre, BLOCK, filled, rig, type Rig } from '../testing/pitfall-rig.js';
import { oldDevice, slowDevice } from '../testing/rig.js';
import { invalidateRange } from '../truncate.js';

const none: DioOps<ExtentFile> = {};
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'none';
};
/** A file of four blocks on the device, none of it cached. */
function stored(options: Parameters<typeof rig>[0] = {}): Rig {
  const r = rig(options);
  r.write(0, filled(4 * BLOCK, 1));
  runSync(r.file.writeAll());
  invalidateRange(r.file, 0, Infinity);
  r.bios.length = 0;
  return r;
}

describe('14: direct I/O and the page cache', () => {
  it('a direct read sees what is dirty', () => {
    const r = stored();
    r.write(BLOCK, filled(10, 2));
    const bytes = new Uint8Array(BLOCK);
    runSync(directRead(r.file, r.file.ops, none, BLOCK, bytes));
    expect([bytes[0], bytes[10]]).toEqual([2, 1]);
  });

  it('a direct write is seen by later reads, and not undone by older dirty data', () => {
    const r = stored();
    r.read(0, 4 * BLOCK);
    r.write(BLOCK + 600, filled(10, 2));
    runSync(directWrite(r.file, r.file.ops, none, BLOCK, filled(512, 3)));
    runSync(r.file.writeAll());
    const bytes = r.read(BLOCK, BLOCK);
    expect([bytes[0], bytes[511], bytes[512], bytes[600]]).toEqual([3, 3, 1, 2]);
  });

  it('what a reader caches while the write is in flight is dropped when it ends', async () => {
    const r = stored();
    (r.file.options as { device: unknown }).device = slowDevice(r.device, () => 4);
    const writing = runAsync(directWrite(r.file, r.file.ops, none, 0, filled(BLOCK, 9)));
    // A load of another program: it takes no inode lock.
    for (let turn = 0; turn < 3; turn++) await Promise.resolve();
    const folio = r.file.mapping.tryAlloc(0, BLOCK);
    folio?.data.fill(1);
    folio?.setUptodate(0, BLOCK);
    folio?.unlock();
    await writing;
    (r.file.options as { device: unknown }).device = r.device;
    expect(allAre(r.read(0, BLOCK), 9)).toBe(true);
  });

  it('no folio of the range stays through the write', async () => {
    const r = stored();
    r.read(0, 4 * BLOCK);
    (r.file.options as { device: unknown }).device = slowDevice(r.device, () => 4);
    const writing = runAsync(directWrite(r.file, r.file.ops, none, 0, filled(4 * BLOCK, 9)));
    for (let turn = 0; turn < 2; turn++) await Promise.resolve();
    expect(r.file.mapping.nextFolio(0, 4 * BLOCK)).toBeUndefined();
    await writing;
  });

  it('a store waits for the end of a direct write', async () => {
    const r = extentRig();
    r.write(0, filled(2 * BLOCK, 1));
    runSync(r.file.fsync());
    const memory = new MappedFile(r.file.inode, extentOps);
    const order: string[] = [];
    const { endIo } = extentDirect(order);
    const slow = slowDevice(r.device, () => 4);
    const ops: IomapOps<ExtentInode> = { ...extentOps, *begin(inode, pos, len, flags, out, src) {
      yield* extentOps.begin(inode, pos, len, flags, out, src);
      out.device = slow;
    } };
    const writing = runAsync(directWrite(r.file.inode, ops, { endIo }, 0, filled(2 * BLOCK, 9)));
    const storing = runAsync(memory.write(10, filled(1, 5))).then(() => order.push('store'));
    await Promise.all([writing, storing]);
    expect(order).toEqual(['direct', 'store']);
    expect([r.read(10, 1)[0], r.read(11, 1)[0]]).toEqual([5, 9]);
  });

  describe('a store moves a shared block to another place while the old one is being read', () => {
    /** A file that shares its block with another, on a device that does `meanwhile` once, just before it reads. */
    const shared = (meanwhile: () => void, bypassReadBytes = Infinity): { r: ExtentRig; arm: () => void } => {
      const base = oldDevice(512 * BLOCK);
      let armed = false;
      const { readNow, ...rest } = base;
      expect(readNow).toBeDefined();
      const device: BlockDevice = { ...rest, name: 'base', synchronous: true, sizeBytes: base.sizeBytes, sectorSize: 512, readOnly: false, limits: base.limits,
        submit(bio) {
          if (armed && bio.op === 'read') {
            armed = false;
            meanwhile();
          }
          return base.submit(bio);
        },
        close: () => undefined };
      const r = extentRig({ device }, { bypassReadBytes });
      r.write(0, filled(2 * BLOCK, 1));
      runSync(reflink(r.file.inode, r.other.inode));
      r.drop();
      return { r, arm: () => (armed = true) };
    };
    /** A store gives the file a block of its own; then the other, who has the old one alone now, writes into it. */
    const steal = (r: ExtentRig): void => {
      const memory = runSync(r.file.map());
      runSync(memory.write(10, filled(4, 7)));
      runSync(r.file.inode.writeback({ pos: 0, len: Infinity }));
      runSync(r.other.write(0, filled(2 * BLOCK, 9)));
      runSync(r.other.inode.writeback({ pos: 0, len: Infinity }));
      memory.close();
    };

    it('14: a direct read gives nobody else\'s bytes', () => {
      const bytes = new Uint8Array(2 * BLOCK);
      const { r, arm } = shared(() => { steal(r); });
      arm();
      expect(runSync(r.file.readDirect(0, bytes))).toBe(bytes.length);
      expect([bytes[0], bytes[10], bytes[14], bytes[BLOCK]]).toEqual([1, 7, 1, 1]);
    });

    it('17: a read that bypasses the cache gives nobody else\'s bytes', () => {
      const bytes = new Uint8Array(2 * BLOCK);
      const { r, arm } = shared(() => { steal(r); }, BLOCK);
      arm();
      expect(runSync(bufferedRead(r.file.inode, extentOps, 0, bytes))).toBe(bytes.length);
      expect([bytes[0], bytes[10], bytes[14], bytes[BLOCK]]).toEqual([1, 7, 1, 1]);
      expect(r.cache.counters.bypassReadBytes).toBeGreaterThan(0);
    });
  });

  it('a fall-back of nothing drops nothing', () => {
    const r = rig({ delalloc: true, freeBlocks: [5, 6, 7, 8] });
    r.write(2 * BLOCK, filled(BLOCK, 4));
    runSync(r.file.writeAll());
    r.read(2 * BLOCK, BLOCK);
    const full: IomapOps<ExtentFile> = { ...r.file.ops, *begin(inode, pos, len, flags, out, src) {
      if ((flags & 1) !== 0 && (flags & 16) === 0) throw new FsError('ENOSPC');
      yield* r.file.ops.begin(inode, pos, len, flags, out, src);
    } };
    expect(codeOf(() => runSync(directWrite(r.file, full, none, 0, filled(BLOCK, 1))))).toBe('ENOSPC');
    expect(r.file.mapping.lookup(2 * BLOCK)).toBeDefined();
  });
});

describe('14: direct writes of parts of blocks', () => {
  it.each([['before', 512], ['behind', 0]])('pad a new block with zeroes %s', (_where, pos) => {
    const r = rig({ unwritten: true });
    const ends: DioOps<ExtentFile> = { *endIo(inode, end) {
      inode.convert(end.pos, end.pos + end.done);
      yield* [];
    } };
    runSync(directWrite(r.file, r.file.ops, ends, pos, filled(512, 3)));
    r.file.size = BLOCK;
    const bytes = r.read(0, BLOCK);
    expect(bytes.every((byte, at) => byte === (at >= pos && at < pos + 512 ? 3 : 0))).toBe(true);
  });
});

it('8: a direct write past the end zeroes the rest of the last block, in the cache and on the device', () => {
  const r = rig();
  r.write(0, filled(BLOCK, 1));
  runSync(r.file.writeAll());
  r.file.size = 512;
  runSync(directWrite(r.file, r.file.ops, none, 3 * BLOCK, filled(512, 3)));
  expect(allAre(r.read(512, 2 * BLOCK), 0)).toBe(true);
  invalidateRange(r.file, 0, Infinity);
  expect(allAre(r.read(512, 2 * BLOCK), 0)).toBe(true);
});

describe('14: durable and careful direct writes', () => {
  it('an append with O_DSYNC syncs its size', () => {
    const r = rig();
    const synced: number[] = [];
    const dops: DioOps<ExtentFile> = { *sync(inode) {
      synced.push(inode.size);
      yield* [];
    } };
    runSync(directWrite(r.file, r.file.ops, dops, 0, filled(BLOCK, 1), { dsync: true }));
    expect(synced).toEqual([BLOCK]);
  });

  it('an overwrite of blocks whose metadata is not durable does not count as one for FUA', () => {
    const r = extentRig();
    r.write(0, filled(2 * BLOCK, 1));
    runSync(r.file.inode.writeback({ pos: 0, len: Infinity }));
    expect(r.fs.dirty).toBe(true);
    runSync(r.file.writeDirect(0, filled(BLOCK, 2), { dsync: true }));
    expect([r.fs.dirty, r.cache.counters.fuaBios]).toEqual([false, 0]);
    runSync(r.file.writeDirect(0, filled(BLOCK, 3), { dsync: true }));
    expect(r.cache.counters.fuaBios).toBe(1);
  });

  it('under a shared lock nothing is allocated or converted', () => {
    const r = rig({ unwritten: true });
    r.file.preallocate(0, 2);
    r.file.size = 2 * BLOCK;
    expect(codeOf(() => runSync(directWrite(r.file, r.file.ops, none, 0, filled(BLOCK, 1), { overwriteOnly: true })))).toBe('EAGAIN');
    expect(r.bios).toEqual([]);
  });
});

it('15: an error of endIo does not hide that of the write', () => {
  const r = stored();
  r.bad.push({ op: 'write', pos: 0, len: 2 ** 20 });
  const dops: DioOps<ExtentFile> = { *endIo(_inode, end): Io<void> {
    yield* [];
    if (end.error !== undefined) throw new FsError('ENOSPC');
  } };
  expect(codeOf(() => runSync(directWrite(r.file, r.file.ops, dops, 0, filled(BLOCK, 1))))).toBe('EIO');
});

it('14: a part of a shared block goes through the cache, and the call ends once', () => {
  const r = stored();
  const shared: IomapOps<ExtentFile> = { ...r.file.ops, *begin(inode, pos, len, flags, out, src) {
    yield* r.file.ops.begin(inode, pos, len, flags, out, src);
    out.flags |= IOMAP_F_SHARED;
  } };
  expect(runSync(directWrite(r.file, shared, none, 512, filled(512, 7)))).toBe(512);
  const bytes = r.read(0, 2048);
  expect([bytes[511], bytes[512], bytes[1023], bytes[1024]]).toEqual([1, 7, 7, 1]);
  expect(r.file.size).toBe(4 * BLOCK);
});

function extentDirect(order: string[]): { endIo: () => Io<void> } {
  return {
    *endIo() {
      yield* [];
      order.push('direct');
    },
  };
}
