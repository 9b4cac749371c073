import type { BulkNode } from './bulk.js';
import { bulkPath, orderBulk } from './bulk-order.js';
import { nonZeroRun } from './bulk-read.js';

interface Node extends BulkNode<Node> {
  readonly entries: { readonly name: string; readonly inode: Node }[];
}

const TIME = { sec: 0, nsec: 0 };
const node = (type: 'file' | 'directory', entries: Record<string, Node> = {}): Node => ({
  type, mode: 0, uid: 0, gid: 0, rdev: 0, size: 0, dataBytes: 0, mtime: TIME, atime: TIME, ctime: TIME, target: undefined, xattrs: undefined,
  entries: Object.entries(entries).map(([name, inode]) => ({ name, inode })),
});
const dir = (entries: Record<string, Node>): Node => node('directory', entries);

describe('orderBulk', () => {
  it('puts a directory before its files, these before its subdirectories, and all below one before the next', () => {
    const shared = node('file');
    const root = dir({ a: dir({ deep: dir({ x: node('file') }), y: shared }), b: node('file'), c: dir({ again: shared }), d: shared });
    const { places, indexes, links } = orderBulk(root, 255);
    expect(places.map(bulkPath)).toEqual(['/', '/b', '/d', '/a', '/a/deep', '/a/deep/x', '/c']);
    expect(places.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(indexes.get(shared)).toBe(2);
    expect([...links]).toEqual([[shared, 3]]);
  });

  it.each([['x'.repeat(11), 'ENAMETOOLONG'], ['', 'EINVAL'], ['.', 'EINVAL'], ['..', 'EINVAL'], ['a/b', 'EINVAL'], ['a\0b', 'EINVAL']])('refuses the name %j', (name, code) => {
    expect(() => orderBulk(dir({ sub: dir({ [name]: node('file') }) }), 10)).toThrow(expect.objectContaining({ code, path: `/sub/${name}` }) as Error);
  });
});

describe('nonZeroRun', () => {
  it('finds runs of blocks that are not all zero', () => {
    const bytes = new Uint8Array(8 * 16);
    for (const at of [17, 47, 127]) bytes[at] = 1;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const runs: (readonly [number, number])[] = [];
    for (let from = 0; from < bytes.length; ) {
      const run = nonZeroRun(words, from, bytes.length, 16);
      runs.push(run);
      from = run[1];
    }
    expect(runs).toEqual([[16, 48], [112, 128]]);
    expect(nonZeroRun(words, 48, 112, 16)).toEqual([112, 112]);
  });
});
