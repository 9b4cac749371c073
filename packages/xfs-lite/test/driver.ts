/** XFS as the tests see it: images by mkfs.xfs, opened as files (they are large and sparse). */
import { assertTreesEqual, describeFsTree, describeHostTree, oracle, withLoopMount } from '@iomap/conformance';
import type { BlockDevice } from '@iomap/block-device';
import { openFileDevice } from '@iomap/block-device/node';
import { runSync } from '@iomap/io';
import type { FiemapExtent } from '@iomap/vfs';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { mount, type XfsFileSystem, type XfsInode } from '../src/index.js';

/** An empty image by mkfs.xfs. */
export function mkfsXfs(path: string, sizeBytes: number, args: readonly string[]): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  oracle('mkfs-xfs').run(['-q', '-f', ...args, path], { expect: [0] });
}

/** Runs `fn` over a device on the file and closes it. */
export function withDevice<T>(path: string, fn: (device: BlockDevice) => T): T {
  const device = openFileDevice(path, { readOnly: true });
  try {
    return fn(device);
  } finally {
    device.close();
  }
}

/** Mounts the image with our driver. */
export function withMount<T>(path: string, fn: (fs: XfsFileSystem) => T): T {
  return withDevice(path, (device) => {
    const fs = runSync(mount(device, { readOnly: true }));
    try {
      return fn(fs);
    } finally {
      runSync(fs.unmount());
    }
  });
}

/** One piece of a file's map, neighbours joined. */
export interface MapPiece {
  logical: number;
  physical: number;
  length: number;
  readonly kind: string;
}

function join(pieces: MapPiece[], next: MapPiece, end: number): void {
  if (next.logical >= end) return;
  next.length = Math.min(next.length, end - next.logical);
  const last = pieces.at(-1);
  if (last?.kind === next.kind && last.logical + last.length === next.logical && last.physical + last.length === next.physical) last.length += next.length;
  else pieces.push(next);
}

/** Our map of a file. */
export function ourMap(fs: XfsFileSystem, inode: XfsInode): MapPiece[] {
  const pieces: MapPiece[] = [];
  const end = Math.ceil(inode.size / inode.blockSize) * inode.blockSize;
  const add = ({ logical, physical, length, flags }: FiemapExtent): boolean => {
    const kind = flags.filter((flag) => flag === 'unwritten' || flag === 'shared').join('+');
    join(pieces, { logical, physical, length, kind }, end);
    return true;
  };
  runSync(fs.fiemap(inode, 0, Number.MAX_SAFE_INTEGER, add));
  return pieces;
}

/** The kernel's maps of files, by one process for all. `ends`: where each map is cut. */
export function kernelMaps(paths: readonly string[], ends: readonly number[]): MapPiece[][] {
  const out: MapPiece[][] = [];
  const text = oracle('xfs-io').run(['-r', '-c', 'fiemap -v', ...paths], { expect: [0] }).stdout;
  let end = 0;
  for (const line of text.split('\n')) {
    const found = /^ *\d+: \[(\d+)\.\.(\d+)\]: +(?:(\d+)\.\.\d+|hole) +\d+(?: +0x([0-9a-f]+))?/.exec(line);
    if (found === null) {
      if (!line.startsWith(' EXT') && line.endsWith(':')) {
        end = ends[out.length] ?? 0;
        out.push([]);
      }
      continue;
    }
    const [, first = '0', last = '0', physical, flags = '0'] = found;
    if (physical === undefined) continue;
    const bits = Number.parseInt(flags, 16);
    const kind = [...((bits & 0x800) !== 0 ? ['unwritten'] : []), ...((bits & 0x2000) !== 0 ? ['shared'] : [])].join('+');
    const pieces = out.at(-1);
    if (pieces === undefined) throw new Error(`fiemap: ${line}`);
    join(pieces, { logical: Number(first) * 512, physical: Number(physical) * 512, length: (Number(last) - Number(first) + 1) * 512, kind }, end);
  }
  return out;
}

/** Compares everything that the kernel shows of an image with what we read. */
export function compareWithKernel(image: string, what: string): void {
  withLoopMount(image, { type: 'xfs', options: ['ro', 'norecovery'] }, (mounted) => {
    const theirs = describeHostTree(mounted);
    withMount(image, (fs) => {
      const ours = runSync(describeFsTree(fs));
      assertTreesEqual(theirs, ours, { times: ['atime', 'mtime', 'ctime'], symlinkModes: true }, what);
      const files = [...theirs].filter(([, node]) => node.type === 'file' && node.size > 0);
      const inodes = files.map(([path]) => {
        let ino = fs.rootIno;
        for (const part of path.split('/')) ino = runSync(fs.lookup(runSync(fs.readInode(ino)), part));
        return runSync(fs.readInode(ino));
      });
      const paths = files.map(([path]) => joinPath(mounted, path));
      const plain = paths.map((path, i) => ({ path, i })).filter(({ i }) => /^[\x20-\x7e]*$/.test(files[i]?.[0] ?? ''));
      const ends = plain.map(({ i }) => Math.ceil((inodes[i]?.size ?? 0) / fs.traits.blockSize) * fs.traits.blockSize);
      const maps = kernelMaps(plain.map(({ path }) => path), ends);
      expect(maps.length).toBe(plain.length);
      plain.forEach(({ i }, n) => {
        const inode = inodes[i];
        if (inode !== undefined) expect({ path: files[i]?.[0], map: ourMap(fs, inode) }).toEqual({ path: files[i]?.[0], map: maps[n] });
      });
      expectLookups(fs, theirs.keys());
    });
  });
}

/** Every name of the root's folders is found by its hash, with the index in core and without, and others are not. */
function expectLookups(fs: XfsFileSystem, paths: Iterable<string>): void {
  const root = runSync(fs.readInode(fs.rootIno));
  const dirs = new Map<string, readonly XfsInode[]>();
  for (const path of paths) {
    const [folder = '', name, ...rest] = path.split('/');
    if (name === undefined || rest.length > 0) continue;
    let pair = dirs.get(folder);
    if (pair === undefined) {
      const ino = runSync(fs.lookup(root, folder));
      pair = [runSync(fs.readInode(ino)), runSync(fs.readInode(ino))];
      dirs.set(folder, pair);
    }
    const [indexed, plain] = pair;
    if (indexed === undefined || plain === undefined) continue;
    plain.indexPatience = Infinity;
    const found = runSync(fs.lookup(plain, name));
    expect(found).toBeGreaterThan(0);
    expect(runSync(fs.lookup(indexed, name))).toBe(found);
    for (const dir of pair) expect(runSync(fs.lookup(dir, `${name}~`))).toBe(0);
  }
}
