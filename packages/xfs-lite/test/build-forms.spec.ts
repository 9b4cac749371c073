/** Every form that the builder makes of directories, attributes and maps, from trees made up: clean to the checkers, and all of it found. */
import { describeWithOracle, oracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { memoryDevice } from '@iomap/block-device';
import { openFileDevice } from '@iomap/block-device/node';
import { fixedEnv, runSync } from '@iomap/io';
import type { BulkData, Name } from '@iomap/vfs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { bulkBuild, bulkSize, check, mkfs, mount, type MkfsOptions, type XfsFileSystem } from '../src/index.js';
import { folder, node, type SourceNode } from './build-source.js';
import { withMount } from './driver.js';

const ALL = process.env['XFS_ALL'] !== undefined;
const MIB = 2 ** 20;

const PERIOD = 251;
/** Bytes that say where they are, for pieces of up to 2 MiB. */
const pattern = Uint8Array.from({ length: 2 * MIB + PERIOD }, (_, i) => 1 + (i % PERIOD));

/** Content that says where it is; of files with holes every second piece of `rdev` bytes. */
const madeUp: BulkData<SourceNode> = {
  read({ rdev }, pos, bytes) {
    bytes.set(pattern.subarray(pos % PERIOD, (pos % PERIOD) + bytes.length));
    if (rdev > 0) {
      const first = Math.floor(pos / (2 * rdev)) * 2 * rdev + rdev - pos;
      for (let at = first; at < bytes.length; at += 2 * rdev) bytes.fill(0, Math.max(0, at), Math.max(0, at + rdev));
    }
    return bytes.length;
  },
};
const expected = (from: SourceNode, pos: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  madeUp.read(from, pos, bytes);
  return bytes;
};

const file = (size: number): SourceNode => node('file', { size, dataBytes: size });
/** A file whose every second piece is a hole. */
const holed = (size: number, piece: number): SourceNode => node('file', { size, dataBytes: size / 2, rdev: piece });
const names = (count: number, length = 12): SourceNode => {
  const entries: Record<Name, SourceNode> = {};
  for (let n = 0; n < count; n++) entries[`${n}-`.padEnd(length + (n % 7), 'x')] = node('file');
  return folder(entries);
};

function build(device: Parameters<typeof bulkBuild>[0], root: SourceNode, format: MkfsOptions): void {
  runSync(bulkBuild(device, { root, data: madeUp, format: { assumeZeroed: true, ...format }, env: fixedEnv() }));
}

/** Builds an image and looks at it with all that judge images; then with `look`. */
function judged(root: SourceNode, format: MkfsOptions, look: (fs: XfsFileSystem) => void, mounted?: (dir: string) => void): void {
  const dir = scratchDir('iomap-xfs-forms');
  try {
    const image = join(dir, 'image');
    const device = openFileDevice(image, { create: true, sizeBytes: bulkSize(root, format) });
    build(device, root, format);
    expect(runSync(check(device)).findings.slice(0, 5)).toEqual([]);
    device.close();
    const { status, stdout, stderr } = oracle('xfs-repair').run(['-n', '-o', 'force_geometry', image]);
    expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
    withMount(image, look);
    if (mounted !== undefined) withLoopMount(image, { type: 'xfs', options: ['ro', 'norecovery'] }, mounted);
  } finally {
    removeScratch(dir);
  }
}

const find = (fs: XfsFileSystem, path: string): ReturnType<typeof fs.readInode> extends Generator<unknown, infer T> ? T : never => {
  let inode = runSync(fs.readInode(fs.rootIno));
  for (const part of path.split('/')) inode = runSync(fs.readInode(runSync(fs.lookup(inode, part))));
  return inode;
};

describeWithOracle(['xfs-repair', 'loop-mount', 'getfattr'], 'forms of a built image', () => {
  const formats: readonly (readonly [string, MkfsOptions])[] = [
    ['1k blocks', { blockSize: 1024, dirBlockSize: 1024, rmapbt: true }],
    ['defaults', {}],
    ['64k directories of 1k blocks', { blockSize: 1024, dirBlockSize: 65_536 }],
  ];

  it.each(formats)('directories around the sizes where their form changes: %s', (_name, format) => {
    const counts = [0, 1, 2, 9, 10, 11, 18, 19, 20, 21, 40, 41, 42, 43, 44, 115, 116, 117, 118, 119, 120, 121, 480, 500, 502, 505, 509, 1500];
    const tree: Record<Name, SourceNode> = {};
    for (const count of counts) tree[`d${count}`] = names(count);
    tree['long'] = names(200, 240);
    judged(folder(tree), format, (fs) => {
      for (const count of counts) {
        const dir = find(fs, `d${count}`);
        for (let n = 0; n < count; n++) expect(runSync(fs.lookup(dir, `${n}-`.padEnd(12 + (n % 7), 'x')))).toBeGreaterThan(0);
        expect(runSync(fs.lookup(dir, 'missing'))).toBe(0);
      }
    });
  }, 60_000);

  const many = ALL ? 1_000_000 : 20_000;
  it(`a directory of ${many} entries, inodes of all of them in a deep tree`, () => {
    const root = folder({ many: names(many, 14) });
    judged(root, { rmapbt: true }, (fs) => {
      const dir = find(fs, 'many');
      for (let n = 0; n < many; n += 997) expect(runSync(fs.lookup(dir, `${n}-`.padEnd(14 + (n % 7), 'x')))).toBeGreaterThan(0);
    }, (mounted) => {
      expect(execFileSync('sh', ['-c', `ls -U ${mounted}/many | wc -l`], { encoding: 'utf8' }).trim()).toBe(String(many));
    });
  }, 180_000);

  it('files in as many pieces as take trees of every depth', () => {
    const pieces = ALL ? [5, 19, 21, 25, 1000, 2500, 60_000, 150_000] : [5, 19, 21, 25, 1000, 12_000];
    const tree: Record<Name, SourceNode> = {};
    for (const count of pieces) tree[`p${count}`] = holed(count * 2048, 1024);
    tree['whole'] = file(3 * MIB + 5);
    const xattrs = new Map([['user.a', new Uint8Array(100).fill(3)]]);
    tree['with-xattrs'] = { ...holed(2048 * 300, 1024), xattrs };
    judged(folder(tree), { blockSize: 1024, rmapbt: true }, (fs) => {
      for (const [name, from] of Object.entries(tree)) {
        const inode = find(fs, name);
        expect(inode.size).toBe(from.size);
        for (const pos of [0, Math.floor(from.size / 2), Math.max(0, from.size - 5000)]) {
          const bytes = new Uint8Array(Math.min(5000, from.size - pos));
          expect(runSync<number>(fs.read(inode, pos, bytes))).toBe(bytes.length);
          expect(Buffer.compare(bytes, expected(from, pos, bytes.length))).toBe(0);
        }
      }
    });
  }, 60_000);

  it('attributes of every number and size', () => {
    const value = (n: number, length: number): Uint8Array => new Uint8Array(length).fill(1 + (n % 255));
    const sets: Record<Name, ReadonlyMap<Name, Uint8Array>> = {};
    const set = (name: Name, count: number, length: (n: number) => number): void => {
      sets[name] = new Map(Array.from({ length: count }, (_, n) => [`user.${n}-${'n'.repeat((n * 7) % 200)}`, value(n, length(n))]));
    };
    set('one', 1, () => 5);
    for (const length of [200, 250, 255, 256, 260, 270, 280, 300, 320]) set(`of-${length}`, 1, () => length);
    set('many', 1000, (n) => n % 200);
    set('large', ALL ? 1000 : 30, (n) => 65_536 - n);
    set('middling', 40, (n) => 700 + n * 90);
    const tree: Record<Name, SourceNode> = {};
    for (const [name, xattrs] of Object.entries(sets)) {
      tree[`file-${name}`] = { ...file(10_000), xattrs };
      tree[`dir-${name}`] = folder({ a: node('file'), b: node('file') }, { xattrs });
      tree[`link-${name}`] = node('symlink', { target: Buffer.from('t'.repeat(90)), xattrs: new Map([...xattrs].map(([key, one]) => [key.replace('user.', 'trusted.'), one])) });
      tree[`fifo-${name}`] = node('fifo', { xattrs: new Map([...xattrs].map(([key, one]) => [key.replace('user.', 'security.'), one])) });
    }
    const targets = [1, 100, 330, 336, 337, 400, 900, 968, 969, 1023];
    for (const length of targets) tree[`target-${length}`] = node('symlink', { target: Buffer.alloc(length, 't') });
    for (const format of [{}, { blockSize: 1024, nrext64: true, rmapbt: true }, { inodeSize: 2048 }] as MkfsOptions[]) {
      judged(folder(tree), format, (fs) => {
        for (const [name, from] of Object.entries(tree)) {
          const inode = find(fs, name);
          expect(runSync(fs.listxattr(inode)).sort()).toEqual([...(from.xattrs ?? new Map<Name, Uint8Array>()).keys()].sort());
          for (const [key, one] of from.xattrs ?? []) expect(Buffer.compare(runSync(fs.getxattr(inode, key)), one)).toBe(0);
          if (from.target !== undefined) expect(Buffer.compare(runSync(fs.readlink(inode)), from.target)).toBe(0);
        }
      }, (mounted) => {
        // The kernel reads every value.
        execFileSync('sh', ['-c', `getfattr -R -P -h -d -m - -e hex ${mounted} | wc -c`], { stdio: 'pipe' });
      });
    }
  }, 120_000);

  it('data that goes on over the ends of groups', () => {
    const tree = { a: file(20 * MIB + 100), b: file(30 * MIB), c: names(3000), d: file(9 * MIB) };
    judged(folder(tree), { agCount: 6, blockSize: 1024, dirBlockSize: 16_384, rmapbt: true }, (fs) => {
      const inode = find(fs, 'b');
      for (let pos = 0; pos < inode.size; pos += 999_983) {
        const bytes = new Uint8Array(Math.min(7000, inode.size - pos));
        expect(runSync<number>(fs.read(inode, pos, bytes))).toBe(bytes.length);
        expect(Buffer.compare(bytes, expected(tree.b, pos, bytes.length))).toBe(0);
      }
    });
  }, 60_000);
});

describe('a build that cannot be', () => {
  const TWENTY = 20 * MIB;

  it('says which file was too much, and leaves nothing that looks whole', () => {
    const device = memoryDevice({ sizeBytes: TWENTY });
    runSync(mkfs(device, {}, fixedEnv()));
    expect(() => build(device, folder({ a: file(4000), big: file(TWENTY) }), {})).toThrow(expect.objectContaining({ code: 'ENOSPC', path: '/big' }) as Error);
    expect(() => runSync(mount(device))).toThrow(expect.objectContaining({ code: 'EUCLEAN' }) as Error);
  });

  it.each([
    ['inodes that do not fit', folder({ many: names(60_000) }), 'ENOSPC'],
    ['a target that is too long', folder({ link: node('symlink', { target: Buffer.alloc(1024, 'x') }) }), 'ENAMETOOLONG'],
    ['a name that is too long', folder({ ['x'.repeat(256)]: node('file') }), 'ENAMETOOLONG'],
    ['an attribute of another class', folder({ a: node('file', { xattrs: new Map([['system.other', new Uint8Array(1)]]) }) }), 'EOPNOTSUPP'],
  ] as [string, SourceNode, string][])('%s', (_name, root, code) => {
    expect(() => build(memoryDevice({ sizeBytes: TWENTY }), root, {})).toThrow(expect.objectContaining({ code }) as Error);
  });
});
