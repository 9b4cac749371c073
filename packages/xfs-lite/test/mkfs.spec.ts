import { describeFsTree, describeHostTree, describeWithOracle, oracle, removeScratch, runTool, scratchDir, withLoopMount, assertTreesEqual } from '@iomap/conformance';
import { openFileDevice } from '@iomap/block-device/node';
import { fixedEnv, runSync, type FsError } from '@iomap/io';
import { closeSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { memoryDevice } from '@iomap/block-device';
import { mkfs, type MkfsOptions, type MkfsResult } from '../src/index.js';
import { mkfsXfs, withMount } from './driver.js';
import { populate } from './populate.js';

const UUID = '12345678-1234-1234-1234-123456789abc';
const MIB = 2 ** 20;
const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 123_456_789 } });

/** Makes one with our code. */
function makeOurs(path: string, sizeBytes: number, options: MkfsOptions): MkfsResult {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  const device = openFileDevice(path);
  try {
    return runSync(mkfs(device, { uuid: UUID, ...options }, env));
  } finally {
    device.close();
  }
}

function readAt(path: string, pos: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  readSync(fd, bytes, 0, length, pos);
  closeSync(fd);
  return bytes;
}

/** Times and sums of the three inodes in use: the tool takes each from the clock. */
function maskTimes(chunk: Buffer, inodeSize: number): Buffer {
  for (let i = 0; i < 3; i++) {
    const at = i * inodeSize;
    chunk.fill(0, at + 40, at + 56);
    chunk.fill(0, at + 100, at + 104);
    chunk.fill(0, at + 144, at + 152);
  }
  return chunk;
}

/** The bytes that mkfs.xfs writes, and ours: the same. */
function compareImages(tool: string, ours: string, made: MkfsResult): void {
  const head = readAt(tool, 0, 512);
  const rootIno = Number(head.readBigUInt64BE(56));
  const logStart = Number(head.readBigUInt64BE(48));
  const agBlkLog = head.readUInt8(124);
  const { agCount, agBlocks, blockSize, inodeSize } = made;
  const places: [string, number, number][] = [];
  for (let ag = 0; ag < agCount; ag++) places.push([`group ${ag}`, ag * agBlocks * blockSize, 16 * blockSize]);
  const logAg = Math.floor(logStart / 2 ** agBlkLog);
  places.push(['log', (logAg * agBlocks + (logStart % 2 ** agBlkLog)) * blockSize, 512 * 1024]);
  for (const [what, pos, length] of places) {
    const [a, b] = [readAt(tool, pos, length), readAt(ours, pos, length)];
    const at = a.findIndex((byte, i) => byte !== b[i]);
    // Of the first inodes, which may lie in what was read, see below.
    const isChunk = what === 'group 0' && at >= 0 && at >= rootIno * inodeSize;
    const field = at < 0 ? '' : `block ${Math.floor(at / blockSize)}, sector ${Math.floor(at / 512)}, byte ${at % 512}: ${a.toString('hex', at & ~3, (at & ~3) + 16)} is here ${b.toString('hex', at & ~3, (at & ~3) + 16)}`;
    expect([what, isChunk ? '' : field]).toEqual([what, '']);
  }
  const chunk = Math.max(64 * inodeSize, blockSize);
  const [a, b] = [tool, ours].map((path) => maskTimes(readAt(path, rootIno * inodeSize, chunk), inodeSize));
  expect(a?.findIndex((byte, i) => byte !== b?.[i])).toBe(-1);
}

interface Case {
  readonly name: string;
  readonly sizeBytes: number;
  readonly args: string;
  readonly options: MkfsOptions;
}

const GIB = 2 ** 30;
const TIB = 2 ** 40;
const one = (name: string, sizeBytes: number, args: string, options: MkfsOptions): Case => ({ name, sizeBytes, args, options });

const SIZES = [16 * MIB, 20 * MIB, 33 * MIB, 64 * MIB, 129 * MIB, 299 * MIB, 300 * MIB, 320 * MIB + 12_345, GIB, 3 * GIB + 7 * MIB, 8 * GIB, 129 * GIB, TIB, 3 * TIB, 4 * TIB, 5 * TIB, 15 * TIB];

const CASES: readonly Case[] = [
  ...SIZES.map((size) => one(`${size} bytes`, size, size < 300 * MIB ? '--unsupported' : '', {})),
  one('no rmapbt, finobt, reflink', 320 * MIB, '-m finobt=0,reflink=0,inobtcount=0', { finobt: false, reflink: false }),
  one('rmapbt', 320 * MIB, '-m rmapbt=1', { rmapbt: true }),
  one('rmapbt, no finobt', 320 * MIB, '-m rmapbt=1,finobt=0,inobtcount=0', { rmapbt: true, finobt: false }),
  one('nrext64', 320 * MIB, '-i nrext64=1', { nrext64: true }),
  one('no bigtime', 320 * MIB, '-m bigtime=0', { bigtime: false }),
  one('no inobtcount', 320 * MIB, '-m inobtcount=0', { inobtcount: false }),
  one('no sparse', 320 * MIB, '-i sparse=0', { sparse: false }),
  one('label', 320 * MIB, '-L hello', { label: 'hello' }),
  one('1k blocks', 320 * MIB, '-b size=1024', { blockSize: 1024 }),
  one('2k blocks', 320 * MIB, '-b size=2048', { blockSize: 2048 }),
  one('8k blocks', 320 * MIB, '-b size=8192', { blockSize: 8192 }),
  one('16k blocks', 320 * MIB, '-b size=16384', { blockSize: 16_384 }),
  one('32k blocks', 640 * MIB, '-b size=32768', { blockSize: 32_768 }),
  one('64k blocks', 1024 * MIB, '-b size=65536', { blockSize: 65_536 }),
  one('1k inodes', 320 * MIB, '-i size=1024', { inodeSize: 1024 }),
  one('2k inodes, not sparse', 320 * MIB, '-i size=2048,sparse=0', { inodeSize: 2048, sparse: false }),
  one('4k sectors', 320 * MIB, '-s size=4096', { sectorSize: 4096 }),
  one('1k sectors and blocks', 320 * MIB, '-s size=1024 -b size=1024', { sectorSize: 1024, blockSize: 1024 }),
  one('2k sectors', 320 * MIB, '-s size=2048 -m rmapbt=1', { sectorSize: 2048, rmapbt: true }),
  one('64k directories', 320 * MIB, '-n size=65536', { dirBlockSize: 65_536 }),
  one('16 groups', 2048 * MIB, '-d agcount=16', { agCount: 16 }),
  one('groups of 70 MiB', 400 * MIB, '-d agsize=70m', { agSize: 70 * MIB }),
  one('log of 100 MiB', 512 * MIB, '-l size=100m', { logSize: 100 * MIB }),
  one('log stripes of 64 KiB', 320 * MIB, '-l su=64k', { logStripe: 65_536 }),
  one('log stripes of 256 KiB', 320 * MIB, '-l su=256k', { logStripe: 262_144 }),
  one('stripes', 4 * GIB, '-d su=64k,sw=4', { stripeUnit: 65_536, stripeWidth: 262_144 }),
  one('stripes with rmapbt', 100 * GIB, '-d su=128k,sw=3 -m rmapbt=1', { stripeUnit: 131_072, stripeWidth: 393_216, rmapbt: true }),
  one('wide stripes', 100 * GIB, '-d su=1m,sw=5', { stripeUnit: MIB, stripeWidth: 5 * MIB }),
  one('inodes 50 %', 320 * MIB, '-i maxpct=50', { inodesPercent: 50 }),
  one('all', 320 * MIB, '-m rmapbt=1 -i nrext64=1 -b size=1024 -n size=8192', { rmapbt: true, nrext64: true, blockSize: 1024, dirBlockSize: 8192 }),
];

describeWithOracle(['mkfs-xfs'], 'mkfs writes what mkfs.xfs writes', () => {
  const only = process.env['XFS_SET'];
  const all = process.env['XFS_ALL'] !== undefined;
  it.each(CASES.filter(({ name, sizeBytes }) => (only === undefined ? all || sizeBytes < TIB : name === only)))('$name', ({ sizeBytes, args, options }) => {
    const dir = scratchDir('iomap-xfs');
    try {
      const [tool, ours] = [join(dir, 'tool'), join(dir, 'ours')];
      const extra = args === '' ? [] : args.split(' ');
      mkfsXfs(tool, sizeBytes, [...extra, '-m', `uuid=${UUID}`]);
      compareImages(tool, ours, makeOurs(ours, sizeBytes, options));
    } finally {
      removeScratch(dir);
    }
  });
});

describeWithOracle(['xfs-repair', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr', 'setfacl'], 'images of mkfs', () => {
  const slice: readonly Case[] = [
    one('defaults', 320 * MIB, '', {}),
    one('smallest', 16 * MIB, '', {}),
    one('1k blocks, all features', 320 * MIB, '', { blockSize: 1024, rmapbt: true, nrext64: true }),
    one('4k sectors', 320 * MIB, '', { sectorSize: 4096, inodeSize: 1024 }),
    one('64k blocks', 1024 * MIB, '', { blockSize: 65_536 }),
    one('small with all features', 96 * MIB, '', { rmapbt: true, nrext64: true }),
    one('small with 64k directories', 96 * MIB, '', { blockSize: 1024, dirBlockSize: 65_536 }),
    one('stripes', 4096 * MIB, '', { stripeUnit: 65_536, stripeWidth: 262_144, rmapbt: true }),
  ];
  it.each(process.env['XFS_ALL'] === undefined ? slice.slice(0, 3) : slice)('$name: clean, mounted, written to, clean again', ({ sizeBytes, options }) => {
    const dir = scratchDir('iomap-xfs');
    try {
      const image = join(dir, 'image');
      makeOurs(image, sizeBytes, options);
      const repair = (): void => {
        const { status, stdout, stderr } = oracle('xfs-repair').run(['-n', ...(sizeBytes < 32 * MIB ? ['-o', 'force_geometry'] : []), image]);
        expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
      };
      repair();
      withLoopMount(image, { type: 'xfs' }, (mounted) => {
        if (sizeBytes < 90 * MIB) runTool('mkdir', [join(mounted, 'made')], { expect: [0] });
        else populate(mounted, { blockSize: options.blockSize ?? 4096, reflink: true, names: [3, 200], extents: 200, xattrs: 50, small: true });
      });
      repair();
      withLoopMount(image, { type: 'xfs', options: ['ro', 'norecovery'] }, (mounted) => {
        const ours = withMount(image, (fs) => runSync(describeFsTree(fs)));
        assertTreesEqual(describeHostTree(mounted), ours, { times: ['atime', 'mtime', 'ctime'] });
      });
    } finally {
      removeScratch(dir);
    }
  }, 60_000);
});

describe('mkfs', () => {
  it('is deterministic', () => {
    const make = (): Uint8Array => {
      const device = memoryDevice({ sizeBytes: 64 * MIB });
      runSync(mkfs(device, {}, fixedEnv({ seed: 5 })));
      const bytes = new Uint8Array(MIB);
      void device.submit({ op: 'read', pos: 0, segments: [bytes], lengthBytes: MIB });
      return bytes;
    };
    expect(Buffer.compare(make(), make())).toBe(0);
  });

  it('overwrites what was there', () => {
    const device = memoryDevice({ sizeBytes: 32 * MIB });
    const noise = new Uint8Array(MIB).fill(0xa5);
    for (let pos = 0; pos < device.sizeBytes; pos += MIB) void device.submit({ op: 'write', pos, segments: [noise], lengthBytes: MIB });
    const made = runSync(mkfs(device, { blockSize: 1024, uuid: UUID }, env));
    expect(made.warnings.length).toBe(1);
  });

  it.each([
    [{ blockSize: 3000 }, 'EINVAL'],
    [{ inodeSize: 4096 }, 'EINVAL'],
    [{ inodeSize: 2048, blockSize: 2048 }, 'EINVAL'],
    [{ dirBlockSize: 1024 }, 'EINVAL'],
    [{ label: 'thirteen bytes' }, 'EINVAL'],
    [{ stripeUnit: 65_536 }, 'EINVAL'],
    [{ agCount: 1000 }, 'EINVAL'],
    [{ logSize: 4096 }, 'EINVAL'],
    [{ sizeBytes: 8 * MIB }, 'ENOSPC'],
    [{ sizeBytes: 2 ** 40 }, 'EINVAL'],
  ] as [MkfsOptions, string][])('refuses %j', (options, code) => {
    const device = memoryDevice({ sizeBytes: 32 * MIB });
    expect(() => runSync(mkfs(device, options, env))).toThrow(expect.objectContaining({ code }) as FsError);
  });
});
