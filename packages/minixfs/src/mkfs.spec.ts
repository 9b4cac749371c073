import { describeWithOracle, findOracle, imageDevice, removeScratch, scratchDir, withImageFile, oracle } from '@iomap/conformance';
import { fixedEnv, runSync } from '@iomap/io';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, mkfs, mount, readSuper, type MkfsOptions } from './index.js';
import { decodeSuper } from './super.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 } });

function make(kib: number, options: MkfsOptions = {}): Uint8Array {
  const bytes = new Uint8Array(kib * 1024);
  runSync(mkfs(imageDevice(bytes), options, env));
  return bytes;
}

const fail = (kib: number, options: MkfsOptions): string => {
  try {
    make(kib, options);
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('mkfs', () => {
  it('makes the same bytes from the same options', () => {
    expect(Buffer.compare(make(2000, { version: 2 }), make(2000, { version: 2 }))).toBe(0);
  });

  it('refuses what the versions cannot hold', () => {
    expect(fail(70_000, { version: 1 })).toBe('EFBIG');
    expect(fail(1000, { version: 1, nameMax: 60 })).toBe('EINVAL');
    expect(fail(1000, { version: 3, nameMax: 14 })).toBe('EINVAL');
    expect(fail(1000, { version: 2, blockSize: 4096 })).toBe('EINVAL');
    expect(fail(1000, { version: 3, zoneSize: 3072 })).toBe('EINVAL');
    expect(fail(1000, { version: 1, inodes: 70_000 })).toBe('EINVAL');
    expect(fail(5, {})).toBe('ENOSPC');
    expect(fail(1000, { badZones: [3] })).toBe('EINVAL');
  });

  it('keeps bad zones out of use, in a file', () => {
    const badZones = [200, 201, 203, ...Array.from({ length: 300 }, (_, n) => 300 + n)];
    for (const version of [1, 2, 3] as const) {
      const bytes = make(2000, { version, badZones });
      const report = runSync(check(imageDevice(bytes, { readOnly: true })));
      expect(report.findings).toEqual([]);
      const fs = runSync(mount(imageDevice(bytes, { readOnly: true }), { readOnly: true, env }));
      const file = runSync(fs.readInode(2));
      expect(file.size).toBe(badZones.length * 1024);
      expect(runSync(fs.bmap(file, 1))).toBe(201);
      expect(runSync(fs.bmap(file, 302))).toBe(599);
      if (findOracle('fsck-minix') !== undefined) {
        const verdict = withImageFile(bytes, (path) => oracle('fsck-minix').run(['-f', path]));
        expect([verdict.status, verdict.stdout]).toEqual([0, expect.any(String)]);
      }
    }
  });

  it('finds the order of the bits in big-endian images', () => {
    for (const bitOrder of ['bytes', 'be16', 'be32', 'be64'] as const) {
      const bytes = make(3000, { version: 2, byteOrder: 'be', bitOrder });
      const fs = runSync(mount(imageDevice(bytes), { env }));
      expect(fs.volume.zones.flip).toBe({ bytes: 0, be16: 1, be32: 3, be64: 7 }[bitOrder]);
      runSync(fs.unmount());
    }
  });

  it('plans the largest images without making them', () => {
    const device = { ...imageDevice(new Uint8Array(4096)), sizeBytes: 2 ** 38 };
    expect(() => runSync(readSuper(device))).toThrow();
    expect(decodeSuper(make(65_535, { version: 1 }).subarray(1024)).zonesCount).toBe(65_535);
  });
});

/** What ours does not write as mkfs.minix does: times, and the name `.badblocks` behind a free entry. */
function masked(bytes: Uint8Array): Uint8Array {
  const info = decodeSuper(bytes.subarray(1024));
  const copy = bytes.slice();
  const table = info.tableBlock * 1024;
  if (info.version === 1) copy.fill(0, table + 8, table + 12);
  else copy.fill(0, table + 12, table + 24);
  const root = info.firstDataZone * 1024 + 2 * info.entryBytes;
  copy.fill(0, root, root + info.entryBytes);
  return copy;
}

describeWithOracle(['mkfs-minix'], 'mkfs beside mkfs.minix', () => {
  const cases: [string, number, string[], MkfsOptions][] = [
    ['v1/14', 1000, ['-1', '-n', '14'], { version: 1, nameMax: 14 }],
    ['v1/30', 64_000, ['-1', '-n', '30'], { version: 1, nameMax: 30 }],
    ['v2/14, inodes', 9000, ['-2', '-n', '14', '-i', '1000'], { version: 2, nameMax: 14, inodes: 1000 }],
    ['v2/30', 30_000, ['-2', '-n', '30'], { version: 2 }],
    ['v3', 20_000, ['-3'], { version: 3 }],
    ['v3, inodes', 8193 + 1200, ['-3', '-i', '99'], { version: 3, inodes: 99 }],
  ];
  it.each(cases)('%s: the same bytes', (_name, kib, args, options) => {
    const dir = scratchDir('iomap-mkfs-minix');
    try {
      const path = join(dir, 'image');
      writeFileSync(path, new Uint8Array(kib * 1024));
      oracle('mkfs-minix').run([...args, path, String(kib)], { expect: [0] });
      const theirs = masked(new Uint8Array(readFileSync(path)));
      const ours = masked(make(kib, options));
      const at = theirs.findIndex((byte, i) => byte !== ours[i]);
      expect(at < 0 ? 'equal' : `byte ${at}: ${theirs[at]} and ${ours[at]}`).toBe('equal');
    } finally {
      removeScratch(dir);
    }
  });
});
