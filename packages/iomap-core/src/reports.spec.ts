/** Reports: swapfile activation, fiemap of what is written first and of attributes, unsharing. */
import { memoryDevice } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import { fiemap, type FiemapExtent } from './fiemap.js';
import { IOMAP_F_DIRTY, IOMAP_F_SHARED, IOMAP_UNSHARE, type Iomap, type IomapOps } from './iomap.js';
import { swapActivate } from './swap.js';
import type { ExtentFile } from './testing/extent-file.js';
import { allAre, BLOCK, filled, rig, type Rig } from './testing/pitfall-rig.js';
import { invalidateRange } from './truncate.js';
import { unshareRange } from './unshare.js';

const whyOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof FsError) return `${error.code} ${error.why ?? ''}`;
    throw error;
  }
  return 'none';
};
const changed = (r: Rig, change: (out: Iomap) => void): IomapOps<ExtentFile> => ({
  *begin(inode, pos, length, flags, out, src) {
    yield* r.file.ops.begin(inode, pos, length, flags, out, src);
    change(out);
  },
});

describe('swapActivate', () => {
  const activate = (r: Rig, ops = r.file.ops, pageBytes = BLOCK) => runSync(swapActivate(r.file, ops, { device: r.device, pageBytes }));

  it('finds whole pages, neighbours as one, the header page not in the span', () => {
    const r = rig({ freeBlocks: [10, 11, 12, 20, 21, 30] });
    r.write(0, filled(6 * BLOCK, 1));
    expect(activate(r)).toEqual({
      extents: [
        { startPage: 0, pageCount: 3, addr: 10 * BLOCK },
        { startPage: 3, pageCount: 2, addr: 20 * BLOCK },
        { startPage: 5, pageCount: 1, addr: 30 * BLOCK },
      ],
      pageCount: 6,
      spanPages: 20,
    });
    expect(r.cache.dirtyBytes).toBe(0);
  });

  it('takes unwritten blocks, and leaves out what is not aligned to a page', () => {
    const r = rig({ blockSize: 1024, unwritten: true, blocks: 64, freeBlocks: Array.from({ length: 12 }, (_, i) => 6 + i) });
    r.file.preallocate(0, 12);
    r.file.size = 12 * 1024;
    // Blocks 6..17: pages 2 and 3 of the device whole.
    expect(activate(r).extents).toEqual([{ startPage: 0, pageCount: 2, addr: 2 * BLOCK }]);
    r.file.size = 1024;
    expect(whyOf(() => activate(r))).toContain('usable page');
  });

  it('refuses what a kernel refuses', () => {
    const r = rig();
    r.write(0, filled(2 * BLOCK, 1));
    r.write(4 * BLOCK, filled(BLOCK, 1));
    expect(whyOf(() => activate(r))).toBe('EINVAL swapfile: file has unallocated extents');
    r.file.size = 2 * BLOCK;
    expect(whyOf(() => activate(r))).toBe('none');
    expect(whyOf(() => activate(r, changed(r, (out) => (out.flags |= IOMAP_F_SHARED))))).toContain('shared');
    expect(whyOf(() => activate(r, changed(r, (out) => (out.flags |= IOMAP_F_DIRTY))))).toContain('not committed');
    expect(whyOf(() => runSync(swapActivate(r.file, r.file.ops, { device: memoryDevice({ sizeBytes: 4096 }) })))).toContain('one device');
    const inline = rig({ inlineMaxBytes: 100 });
    inline.write(0, filled(50, 1));
    inline.file.size = BLOCK;
    expect(whyOf(() => activate(inline))).toContain('inline');
  });
});

describe('fiemap', () => {
  const list = (r: Rig, options = {}): FiemapExtent[] => {
    const found: FiemapExtent[] = [];
    runSync(fiemap(r.file, r.file.ops, 0, Infinity, (extent) => found.push(extent) > 0, options));
    return found;
  };

  it('with `sync` has no delayed allocation left', () => {
    const r = rig({ delalloc: true });
    r.write(0, filled(2 * BLOCK, 1));
    expect(list(r)[0]?.flags).toEqual(['delalloc', 'unknown', 'last']);
    expect(list(r, { sync: true })).toEqual([{ logical: 0, physical: BLOCK, length: 2 * BLOCK, flags: ['last'] }]);
  });

  it('of attributes asks their own mappings', () => {
    const r = rig();
    const xattr: IomapOps<ExtentFile> = {
      *begin(_inode, pos, _length, _flags, out) {
        Object.assign(out, pos < BLOCK
          ? { type: 'mapped', offset: 0, length: BLOCK, addr: 7 * BLOCK, device: r.device }
          : { type: 'hole', offset: BLOCK, length: Number.MAX_SAFE_INTEGER - BLOCK, addr: -1 });
        yield* [];
      },
    };
    const found: FiemapExtent[] = [];
    runSync(fiemap(r.file, r.file.ops, 0, 2 ** 40, (extent) => found.push(extent) > 0, { xattr }));
    expect(found).toEqual([{ logical: 0, physical: 7 * BLOCK, length: BLOCK, flags: ['last', 'xattr'] }]);
  });
});

describe('11: unshare', () => {
  /** Blocks 0 to 3 are shared: new ones get `to`, the old are the source. */
  const sharing = (r: Rig, to: number): IomapOps<ExtentFile> => ({
    *begin(inode, pos, length, flags, out, src) {
      yield* r.file.ops.begin(inode, pos, length, flags & ~IOMAP_UNSHARE, out, src);
      if (out.type !== 'mapped') return;
      Object.assign(src, out);
      out.addr += to;
      out.flags |= IOMAP_F_SHARED;
    },
  });

  it('reads what it writes, whole blocks or not, and stays inside the size', () => {
    const r = rig();
    r.write(0, filled(4 * BLOCK, 6));
    runSync(r.file.writeAll());
    invalidateRange(r.file, 0, Infinity);
    r.file.size = 3 * BLOCK + 10;
    const before = r.bios.length;
    expect(runSync(unshareRange(r.file, sharing(r, 64 * BLOCK), BLOCK + 5, 10 * BLOCK))).toBe(2 * BLOCK + 5);
    expect(r.bios.slice(before).reduce((sum, bio) => sum + (bio.op === 'read' ? bio.len : 0), 0)).toBe(3 * BLOCK);
    expect(r.file.mapping.dirtyBytes).toBe(3 * BLOCK);
    expect(r.file.size).toBe(3 * BLOCK + 10);
    expect(allAre(r.read(BLOCK, 2 * BLOCK + 10), 6)).toBe(true);
  });

  it('leaves alone what is not shared', () => {
    const r = rig();
    r.write(0, filled(4 * BLOCK, 6));
    runSync(r.file.writeAll());
    expect(runSync(unshareRange(r.file, r.file.ops, 0, 4 * BLOCK))).toBe(0);
    expect(r.cache.dirtyBytes).toBe(0);
  });
});
