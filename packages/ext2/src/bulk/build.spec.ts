import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, runSync, type FsError } from '@iomap/io';
import type { BulkNode } from '@iomap/vfs';
import { check, mount } from '../index.js';
import { bulkBuild } from './build.js';

interface Node extends BulkNode<Node> {
  readonly entries: { readonly name: string; readonly inode: Node }[];
  /** Ranges of content, [from, to) in bytes. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

const TIME = { sec: 1_700_000_000, nsec: 5 };
const base = { uid: 0, gid: 0, rdev: 0, mtime: TIME, atime: TIME, ctime: TIME, target: undefined, xattrs: undefined };

function file(size: number, ranges: readonly (readonly [number, number])[] = [[0, size]]): Node {
  const dataBytes = ranges.reduce((sum, [from, to]) => sum + to - from, 0);
  return { ...base, type: 'file', mode: 0o100644, size, dataBytes, entries: [], ranges };
}

function folder(entries: Record<string, Node>): Node {
  const sorted = Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...base, type: 'directory', mode: 0o040755, size: 0, dataBytes: 0, entries: sorted.map(([name, inode]) => ({ name, inode })), ranges: [] };
}

/** Content that says where it is. */
const byteAt = (pos: number): number => 1 + (pos % 251);

function read(node: Node, pos: number, bytes: Uint8Array): number {
  bytes.fill(0);
  for (const [from, to] of node.ranges) {
    for (let at = Math.max(from, pos); at < Math.min(to, pos + bytes.length); at++) bytes[at - pos] = byteAt(at);
  }
  return bytes.length;
}

const nextData = (node: Node, pos: number): number => {
  const range = node.ranges.find(([, to]) => to > pos);
  return range === undefined ? node.size : Math.max(pos, range[0]);
};

interface Made {
  readonly device: ReturnType<typeof memoryDevice>;
  read(name: string, pos: number, length: number): Uint8Array;
}

function make(root: Node, sizeBytes: number, format = {}): Made {
  const device = memoryDevice({ sizeBytes });
  runSync(bulkBuild(device, { root, data: { read, nextData }, format, env: fixedEnv() }));
  const report = runSync(check(device, {}));
  expect(report.findings).toEqual([]);
  const fs = runSync(mount(device, { readOnly: true }));
  const top = runSync(fs.readInode(fs.rootIno));
  return {
    device,
    read(name, pos, length) {
      const inode = runSync(fs.readInode(runSync(fs.lookup(top, name))));
      const bytes = new Uint8Array(length);
      expect(runSync<number>(fs.read(inode, pos, bytes))).toBe(length);
      return bytes;
    },
  };
}

const expected = (node: Node, pos: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  read(node, pos, bytes);
  return bytes;
};

/** Jest's own comparison of long arrays takes seconds. */
const expectSame = (found: Uint8Array, wanted: Uint8Array): void => expect(Buffer.compare(found, wanted)).toBe(0);

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'none';
  } catch (error) {
    return `${(error as FsError).code} ${(error as FsError).path ?? ''}`;
  }
};

describe('bulkBuild', () => {
  it('maps files at every seam of the block map', () => {
    const sizes = [0, 1, 1024, 12 * 1024, 12 * 1024 + 1, 268 * 1024, 268 * 1024 + 1, 700_000];
    const nodes = Object.fromEntries(sizes.map((size) => [`f${size}`, file(size)]));
    const made = make(folder(nodes), 8 * 2 ** 20, { blockSize: 1024 });
    for (const [name, node] of Object.entries(nodes)) {
      expectSame(made.read(name, 0, node.size), expected(node, 0, node.size));
    }
  });

  it('keeps holes, up to the triple-indirect tree', () => {
    // With blocks of 1 KiB the double tree ends at 64.3 MiB.
    const far = 80 * 2 ** 20;
    const node = file(far + 5000, [[0, 3000], [300_000, 310_000], [20_000_000, 20_000_500], [far, far + 5000]]);
    const made = make(folder({ sparse: node, hole: file(1_000_000, []) }), 2 * 2 ** 20, { blockSize: 1024 });
    for (const [pos, length] of [[0, 5000], [299_000, 20_000], [19_999_000, 3000], [far - 1000, 6000]] as const) {
      expect(made.read('sparse', pos, length)).toEqual(expected(node, pos, length));
    }
    expect(made.read('hole', 500_000, 100)).toEqual(new Uint8Array(100));
  });

  it('goes on in the next group, and gives the same bytes again', () => {
    const e = file(600_000);
    const root = folder({ a: file(1_200_000), b: folder({ c: file(1_000_000), d: folder({}) }), e });
    // Groups of 1 MiB, 16 inodes each; the last holds nothing.
    const format = { blockSize: 1024, blocksPerGroup: 1024, inodes: 64, features: { resize_inode: false } };
    const made = make(root, 5 * 2 ** 20, format);
    expectSame(made.read('e', 0, e.size), expected(e, 0, e.size));
    const again = make(root, 5 * 2 ** 20, format);
    const bytes = (one: Made): Uint8Array => {
      const all = new Uint8Array(one.device.sizeBytes);
      void one.device.submit({ op: 'read', pos: 0, segments: [all], lengthBytes: all.length });
      return all;
    };
    expect(Buffer.compare(bytes(made), bytes(again))).toBe(0);
  });

  it('counts the names of a file and the subdirectories of a directory', () => {
    const twice = file(10);
    const made = make(folder({ a: twice, b: folder({ again: twice, sub: folder({}) }) }), 2 * 2 ** 20);
    expect(made.read('a', 0, 10)).toEqual(expected(twice, 0, 10));
  });

  it('refuses what does not fit, with the path', () => {
    const tooMany = folder(Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`n${n}`, file(0)])));
    expect(codeOf(() => make(tooMany, 2 ** 20, { inodes: 32 }))).toMatch(/^ENOSPC \/n/);
    expect(codeOf(() => make(folder({ sub: folder({ big: file(2 ** 21) }) }), 2 ** 20))).toBe('ENOSPC /sub/big');
    expect(codeOf(() => make(folder({ ['x'.repeat(256)]: file(0) }), 2 ** 20))).toMatch(/^ENAMETOOLONG/);
    expect(codeOf(() => make(folder({ 'a/b': file(0) }), 2 ** 20))).toMatch(/^EINVAL/);
    expect(codeOf(() => make(folder({ 'lost+found': file(0) }), 2 ** 20))).toBe('EEXIST /lost+found');
  });
});
