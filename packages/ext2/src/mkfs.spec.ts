/** mkfs against e2fsck, dumpe2fs and the kernel. */
import { faultDevice, memoryDevice, traceDevice } from '@iomap/block-device';
import { openFileDevice } from '@iomap/block-device/node';
import { describeWithOracle, oracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { fixedEnv, isCode, runSync } from '@iomap/io';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { check } from './check.js';
import { mkfs, type MkfsResult } from './mkfs.js';
import type { MkfsOptions } from './mkfs-options.js';

const KIB = 1024;
const MIB = KIB * KIB;
const env = () => fixedEnv({ start: { sec: 1_700_000_000, nsec: 123_456_789 }, seed: 7 });

const FEATURES: readonly MkfsOptions['features'][] = [
  {},
  { sparse_super: false },
  { resize_inode: false, dir_index: false },
  { meta_bg: true },
  { filetype: false, ext_attr: false, large_file: false },
];

describeWithOracle(['e2fsck', 'dumpe2fs'], 'mkfs and e2fsck', () => {
  const dir = scratchDir('ext2-mkfs');
  afterAll(() => removeScratch(dir));

  /** Makes a filesystem in a file, has both checkers judge it. */
  function make(sizeBytes: number, options: MkfsOptions): { result: MkfsResult; path: string } {
    const path = join(dir, 'image');
    const device = openFileDevice(path, { create: true, truncate: true, sizeBytes });
    try {
      const result = runSync(mkfs(device, options, env()));
      expect(runSync(check(device)).findings).toEqual([]);
      const judged = oracle('e2fsck').run(['-fn', path]);
      expect([judged.status, options, judged.status === 0 ? '' : judged.stdout]).toEqual([0, options, '']);
      return { result, path };
    } finally {
      device.close();
    }
  }

  for (const blockSize of [1024, 2048, 4096, 16384, 65536]) {
    it(`makes clean filesystems of ${blockSize}-byte blocks`, () => {
      for (const [index, features] of FEATURES.entries()) {
        const inodeSize = [128, 256, 1024][index % 3] ?? 256;
        const sizes = [64 * blockSize, 8 * MIB + 57 * KIB, 8 * MIB + 300 * KIB, 40 * MIB];
        for (const sizeBytes of sizes) make(sizeBytes, { blockSize, inodeSize, features: { ...features } });
      }
    });
  }

  it('makes revision 0, many small groups, no lost+found, odd sizes', () => {
    make(3 * MIB, { revision: 0 });
    make(64 * KIB, {});
    make(20 * MIB, { blockSize: 1024, blocksPerGroup: 256, bytesPerInode: 65536, features: { meta_bg: true } });
    make(20 * MIB, { blockSize: 1024, blocksPerGroup: 1024, lostFound: false });
    for (let odd = 0; odd < 12; odd++) make(8 * MIB + odd * 41 * KIB, { blockSize: 1024, inodes: 500 + odd * 37 });
  });

  it('makes a large sparse one without writing its tables', () => {
    const { result, path } = make(20 * 1024 * MIB, { assumeZeroed: true });
    expect(result).toMatchObject({ blockSize: 4096, groupCount: 160 });
    expect(statSync(path).blocks * 512).toBeLessThan(8 * MIB);
  });

  it('writes what dumpe2fs reads', () => {
    const uuid = '00112233-4455-6677-8899-aabbccddeeff';
    const { path } = make(16 * MIB, {
      label: 'häuser',
      uuid,
      reservedPercent: 10,
      lastMounted: '/mnt/x',
      inodes: 1000,
    });
    const said = oracle('dumpe2fs').run([path]).stdout;
    expect(Buffer.from(said, 'latin1').toString()).toMatch(/Filesystem volume name: +häuser/);
    expect(said).toMatch(new RegExp(`UUID: +${uuid}`));
    expect(said).toMatch(/Last mounted on: +\/mnt\/x/);
    expect(said).toMatch(/Reserved block count: +1638\n/);
    expect(said).toMatch(/features: +ext_attr resize_inode dir_index filetype sparse_super large_file\n/);
    expect(said).toMatch(/Filesystem state: +clean/);
  });
});

describeWithOracle(['loop-mount'], 'mkfs and the kernel', () => {
  const dir = scratchDir('ext2-mkfs-mount');
  afterAll(() => removeScratch(dir));

  it.each([1024, 4096])('mounts with %i-byte blocks, owner, mode and time as asked', (blockSize) => {
    const path = join(dir, `image-${blockSize}`);
    const device = openFileDevice(path, { create: true, truncate: true, sizeBytes: 24 * MIB });
    runSync(mkfs(device, { blockSize, rootUid: 70_000, rootGid: 3, rootMode: 0o1777 }, env()));
    device.close();
    withLoopMount(path, { type: 'ext2', options: ['ro'] }, (mounted) => {
      const root = statSync(mounted, { bigint: true });
      expect([root.uid, root.gid, Number(root.mode) % 0o10000, root.nlink]).toEqual([70_000n, 3n, 0o1777, 3n]);
      // The kernel's ext2 takes whole seconds from the inode; ext4 driving ext2 reads the nanoseconds too.
      expect(root.mtimeNs / 1_000_000_000n).toBe(1_700_000_000n);
      expect(readdirSync(mounted)).toEqual(['lost+found']);
    });
  });
});

describe('mkfs', () => {
  const failure = (sizeBytes: number, options: MkfsOptions): string => {
    try {
      runSync(mkfs(memoryDevice({ sizeBytes }), options, env()));
    } catch (error) {
      return isCode(error, 'EINVAL', 'ENOSPC', 'EFBIG')
        ? `${error.code} ${error.detail.field ?? ''}`.trim()
        : String(error);
    }
    return 'none';
  };

  it('gives the same bytes for the same options and environment', () => {
    const bytes = [1, 2].map(() => {
      const device = memoryDevice({ sizeBytes: 2 * MIB });
      void device.submit({
        op: 'write',
        pos: 0,
        segments: [new Uint8Array(512).fill(Math.random() * 255)],
        lengthBytes: 512,
      });
      runSync(mkfs(device, {}, env()));
      return device.toBytes();
    });
    expect(Buffer.compare(bytes[0] ?? Buffer.alloc(1), bytes[1] ?? Buffer.alloc(0))).toBe(0);
  });

  it('wipes what was there and leaves nothing of old inode tables', () => {
    const device = memoryDevice({ sizeBytes: 8 * MIB });
    const junk = new Uint8Array(8 * MIB).fill(0xa5);
    void device.submit({ op: 'write', pos: 0, segments: [junk], lengthBytes: junk.length });
    runSync(mkfs(device, {}, env()));
    expect(runSync(check(device)).findings).toEqual([]);
    const bytes = device.toBytes();
    expect(bytes.subarray(0, 1024).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(-64 * KIB).every((byte) => byte === 0)).toBe(true);
  });

  it('writes metadata only', () => {
    const device = traceDevice(memoryDevice({ sizeBytes: 1024 * MIB }));
    const result = runSync(mkfs(device, {}, env()));
    expect(device.counters.write.bytes).toBeLessThan(2 * MIB);
    expect(device.counters.writeZeroes.bios).toBe(result.groupCount + 2);
  });

  it('leaves no superblock when it is interrupted', () => {
    const inner = memoryDevice({ sizeBytes: 8 * MIB });
    runSync(mkfs(inner, {}, env()));
    const device = faultDevice(inner, { faults: [{ kind: 'fail', ops: ['flush'] }] });
    expect(() => runSync(mkfs(device, {}, env()))).toThrow();
    expect(runSync(check(inner)).fatal).toBe(true);
  });

  it.each<[string, number, MkfsOptions]>([
    ['EINVAL blockSize', 8 * MIB, { blockSize: 3000 }],
    ['EINVAL inodeSize', 8 * MIB, { blockSize: 1024, inodeSize: 2048 }],
    ['EINVAL inodeSize', 8 * MIB, { revision: 0, inodeSize: 256 }],
    ['EINVAL label', 8 * MIB, { label: 'seventeen letters' }],
    ['EINVAL uuid', 8 * MIB, { uuid: 'no' }],
    ['EINVAL features', 8 * MIB, { features: { resize_inode: true, meta_bg: true } }],
    ['EINVAL features', 8 * MIB, { revision: 0, features: { filetype: true } }],
    ['EINVAL sizeBytes', 8 * MIB, { sizeBytes: 9 * MIB }],
    ['EINVAL inodes', 8 * MIB, { inodes: 4_000_000 }],
    ['ENOSPC', 8 * KIB, {}],
    ['EFBIG', 5 * 2 ** 42, { blockSize: 1024 }],
  ])('refuses: %s', (expected, sizeBytes, options) => {
    expect(failure(sizeBytes, options)).toBe(expected);
  });
});
