import { memoryDevice } from '@iomap/block-device';
import fc from 'fast-check';
import {
  decodeInode,
  encodeDev,
  encodeInode,
  Ext2InodeInCore,
  S_IFBLK,
  S_IFCHR,
  S_IFREG,
  TIME_MAX_SEC_LARGE,
  TIME_MAX_SEC_SMALL,
  TIME_MIN_SEC,
} from './inode.js';

const noMapping = (): never => {
  throw new Error(`no data is read from ${memoryDevice({ sizeBytes: 4096 }).name} here`);
};
const fresh = (): Ext2InodeInCore => new Ext2InodeInCore(12, 1024, noMapping);
const slot = (bytes: Uint8Array, at: number): { bytes: Uint8Array; view: DataView; at: number } => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  at,
});

const u32 = fc.nat(0xffff_ffff);
const time = (max: number) => fc.record({ sec: fc.integer({ min: TIME_MIN_SEC, max }), nsec: fc.nat(999_999_999) });

describe('the inode codec', () => {
  it('brings every field back, from a slot full of someone else’s bytes', () => {
    const inodeOf = fc.record({
      uid: u32, gid: u32, nlink: fc.nat(0xffff), size: fc.maxSafeNat(), blocks: u32, generation: u32, fileAcl: u32,
      dtime: u32, perm: fc.nat(0o7777), block: fc.array(u32, { minLength: 15, maxLength: 15 }),
      atime: time(TIME_MAX_SEC_LARGE), mtime: time(TIME_MAX_SEC_LARGE), ctime: time(TIME_MAX_SEC_LARGE), btime: time(TIME_MAX_SEC_LARGE),
    });
    fc.assert(
      fc.property(inodeOf, fc.boolean(), (want, isLarge) => {
        const shape = { inodeSize: isLarge ? 256 : 128 };
        const bytes = new Uint8Array(1024).fill(0xa5);
        const inode = fresh();
        const { perm, block, ...plain } = want;
        Object.assign(inode, plain, { mode: S_IFREG | perm, isNew: true, extraIsize: isLarge ? 32 : 0 });
        inode.block.splice(0, 15, ...block);
        encodeInode(inode, slot(bytes, 256), shape);
        const back = fresh();
        decodeInode(back, slot(bytes, 256), shape);
        for (const key of ['uid', 'gid', 'nlink', 'size', 'blocks', 'generation', 'fileAcl', 'dtime', 'mode'] as const) {
          expect([key, back[key]]).toEqual([key, inode[key]]);
        }
        expect([...back.block]).toEqual(block);
        const kept = (t: { sec: number; nsec: number }): { sec: number; nsec: number } =>
          isLarge ? t : { sec: Math.min(t.sec, TIME_MAX_SEC_SMALL), nsec: 0 };
        expect(back.mtime).toEqual(kept(want.mtime));
        expect(back.atime).toEqual(kept(want.atime));
        expect(back.ctime).toEqual(kept(want.ctime));
        expect(back.btime).toEqual(isLarge ? want.btime : undefined);
        // Nothing outside of the slot was touched.
        expect(bytes.subarray(0, 256).every((byte) => byte === 0xa5)).toBe(true);
        expect(bytes.subarray(256 + shape.inodeSize).every((byte) => byte === 0xa5)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('leaves what it does not know of an old slot alone', () => {
    const bytes = new Uint8Array(256).fill(0xa5);
    bytes[0x80] = 28; // i_extra_isize: everything up to i_version_hi
    bytes[0x81] = 0;
    const inode = fresh();
    inode.mode = S_IFREG | 0o644;
    inode.extraIsize = 28;
    encodeInode(inode, slot(bytes, 0), { inodeSize: 256 });
    expect(bytes[0x24]).toBe(0xa5); // i_osd1
    expect(bytes[0x9c]).toBe(0xa5); // i_projid
    expect(bytes[0x8c]).toBe(0); // i_atime_extra
  });

  it('writes epoch bits as ext4 has them', () => {
    const bytes = new Uint8Array(256);
    const inode = fresh();
    inode.mode = S_IFREG;
    inode.isNew = true;
    inode.extraIsize = 32;
    inode.mtime = { sec: 2 ** 31, nsec: 5 }; // 2038-01-19: low word 0x80000000, epoch 1
    encodeInode(inode, slot(bytes, 0), { inodeSize: 256 });
    const view = new DataView(bytes.buffer);
    expect(view.getUint32(0x10, true)).toBe(0x8000_0000);
    expect(view.getUint32(0x88, true)).toBe(5 * 4 + 1);
  });

  it('has both forms of device numbers', () => {
    for (const [major, minor, isOld] of [[8, 1, true], [255, 255, true], [259, 3, false], [8, 300, false], [4095, 2 ** 20 - 1, false]] as const) {
      const rdev = ((major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12)) >>> 0;
      const inode = fresh();
      inode.mode = major % 2 === 0 ? S_IFBLK : S_IFCHR;
      inode.isNew = true;
      encodeDev(inode.block, rdev);
      expect(inode.block[0] !== 0).toBe(isOld);
      const bytes = new Uint8Array(128);
      encodeInode(inode, slot(bytes, 0), { inodeSize: 128 });
      const back = fresh();
      decodeInode(back, slot(bytes, 0), { inodeSize: 128 });
      expect(back.rdev).toBe(rdev);
    }
  });

  it('refuses what cannot be', () => {
    const bytes = new Uint8Array(256);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, S_IFREG, true);
    view.setUint16(0x80, 130, true);
    expect(() => decodeInode(fresh(), slot(bytes, 0), { inodeSize: 256 })).toThrow(/EUCLEAN.*i_extra_isize/);
    view.setUint16(0x80, 32, true);
    view.setUint32(0x6c, 0xffff_ffff, true);
    expect(() => decodeInode(fresh(), slot(bytes, 0), { inodeSize: 256 })).toThrow(/EUCLEAN.*i_size_high/);
  });
});
