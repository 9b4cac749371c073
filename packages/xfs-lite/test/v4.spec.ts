/** Version 4, which this kernel may not mount: images that mkfs.xfs itself fills from a prototype file, without a kernel. */
import { describeFsTree, describeWithOracle, oracle, removeScratch, scratchDir } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mkfsXfs, withDevice, withMount } from './driver.js';
import { check } from '../src/index.js';

/** A prototype: a directory with a few names, one with many, a large file, a link, a device. */
function prototypeOf(dir: string, names: number): { readonly text: string; readonly paths: string[]; readonly content: Buffer } {
  const content = Buffer.alloc(700_001, 'version 4 ');
  writeFileSync(join(dir, 'content'), content);
  writeFileSync(join(dir, 'empty'), '');
  const lines = ['/dev/null', '0 0', 'd--755 0 0', `large ---644 5 6 ${join(dir, 'content')}`, `link l--777 0 0 some/where`, 'null c--666 0 0 1 3', 'pipe p--600 1 2', 'few d--700 0 0'];
  const paths = ['', 'large', 'link', 'null', 'pipe', 'few', 'many'];
  for (let n = 0; n < 3; n++) {
    lines.push(`f${n} ---644 0 0 ${join(dir, 'empty')}`);
    paths.push(`few/f${n}`);
  }
  lines.push('$', 'many d--755 0 0');
  for (let n = 0; n < names; n++) {
    lines.push(`name-${n}-${'x'.repeat(n % 40)} ---644 0 0 ${join(dir, 'empty')}`);
    paths.push(`many/name-${n}-${'x'.repeat(n % 40)}`);
  }
  lines.push('$', '$', '');
  return { text: lines.join('\n'), paths, content };
}

describeWithOracle(['mkfs-xfs', 'xfs-repair'], 'reads version 4', () => {
  it.each([
    ['256-byte inodes', ['-m', 'crc=0', '-i', 'size=256'], 200],
    ['512-byte blocks', ['-m', 'crc=0', '-b', 'size=512'], 1200],
    ['1k blocks, no ftype', ['-m', 'crc=0', '-b', 'size=1024', '-n', 'ftype=0'], 700],
    ['ftype, 4k blocks', ['-m', 'crc=0', '-n', 'ftype=1'], 1500],
    ['version 5 with the tool alone', ['-m', 'crc=1'], 700],
    ['names without case', ['-m', 'crc=0', '-n', 'version=ci'], 300],
  ] as const)('%s', (_name, args, names) => {
    const dir = scratchDir('iomap-xfs');
    try {
      mkdirSync(join(dir, 'from'));
      const { text, paths, content } = prototypeOf(join(dir, 'from'), names);
      const proto = join(dir, 'proto');
      writeFileSync(proto, text);
      const image = join(dir, 'image');
      mkfsXfs(image, 320 * 2 ** 20, [...args, '-p', proto]);
      oracle('xfs-repair').run(['-n', image], { expect: [0] });
      withMount(image, (fs) => {
        const tree = runSync(describeFsTree(fs));
        expect([...tree.keys()].sort()).toEqual(paths.sort());
        expect(tree.get('large')).toMatchObject({ type: 'file', size: content.length, uid: 5, gid: 6, mode: 0o644 });
        expect(tree.get('link')).toMatchObject({ type: 'symlink', target: 'some/where' });
        expect(tree.get('null')).toMatchObject({ type: 'char', rdev: 259 });
        const root = runSync(fs.readInode(fs.rootIno));
        const large = runSync(fs.readInode(runSync(fs.lookup(root, 'large'))));
        const bytes = new Uint8Array(content.length);
        runSync(fs.read(large, 0, bytes));
        expect(Buffer.compare(bytes, readFileSync(join(dir, 'from/content')))).toBe(0);
        const many = runSync(fs.readInode(runSync(fs.lookup(root, 'many'))));
        for (const path of paths.filter((one) => one.startsWith('many/'))) {
          expect(runSync(fs.lookup(many, path.slice(5)))).toBeGreaterThan(0);
          expect(runSync(fs.lookup(many, `${path.slice(5)}!`))).toBe(0);
        }
        if (args.includes('version=ci' as never)) expect(runSync(fs.lookup(many, 'NAME-1-X'))).toBeGreaterThan(0);
      });
      expect(withDevice(image, (device) => runSync(check(device))).findings).toEqual([]);
    } finally {
      removeScratch(dir);
    }
  });
});
