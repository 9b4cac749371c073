import { assertTreesEqual, describeFsTree, describeHostTree, describeWithOracle, fromName, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { join } from 'node:path';
import { kernelMaps, mkfsXfs, ourMap, withMount } from './driver.js';
import { populate, type PopulateOptions } from './populate.js';
import { OPTION_SETS, type OptionSet } from './option-sets.js';

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
      const paths = files.map(([path]) => join(mounted, path));
      const plain = paths.map((path, i) => ({ path, i })).filter(({ i }) => /^[\x20-\x7e]*$/.test(files[i]?.[0] ?? ''));
      const ends = plain.map(({ i }) => Math.ceil((inodes[i]?.size ?? 0) / fs.traits.blockSize) * fs.traits.blockSize);
      const maps = kernelMaps(plain.map(({ path }) => path), ends);
      expect(maps.length).toBe(plain.length);
      plain.forEach(({ i }, n) => {
        const inode = inodes[i];
        if (inode !== undefined) expect({ path: files[i]?.[0], map: ourMap(fs, inode) }).toEqual({ path: files[i]?.[0], map: maps[n] });
      });
      // Every name is found by its hash, and others are not.
      for (const path of theirs.keys()) {
        if (path === '') continue;
        const parts = path.split('/');
        if (parts.length !== 2) continue;
        const dir = runSync(fs.readInode(runSync(fs.lookup(runSync(fs.readInode(fs.rootIno)), parts[0] ?? ''))));
        expect(runSync(fs.lookup(dir, parts[1] ?? ''))).toBeGreaterThan(0);
        expect(runSync(fs.lookup(dir, `${parts[1] ?? ''}~`))).toBe(0);
      }
    });
    void fromName;
  });
}

function optionsOf(set: OptionSet): PopulateOptions {
  const { blockSize, reflink } = set;
  return { blockSize, reflink, names: set.names ?? [1, 12, 60, 500, 3000], extents: set.extents ?? 900, xattrs: set.xattrs ?? 300 };
}

describeWithOracle(['mkfs-xfs', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr', 'setfacl'], 'reads what the kernel wrote', () => {
  const only = process.env['XFS_SET'];
  const all = process.env['XFS_ALL'] !== undefined;
  for (const set of OPTION_SETS.filter(({ name, slice }) => (only === undefined ? all || slice === true : name === only))) {
    it(set.name, () => {
      const dir = scratchDir('iomap-xfs');
      try {
        const image = join(dir, 'image');
        mkfsXfs(image, set.sizeBytes ?? 320 * 2 ** 20, set.args);
        withLoopMount(image, { type: 'xfs', options: set.mount ?? [] }, (mounted) => populate(mounted, optionsOf(set)));
        compareWithKernel(image, set.name);
      } finally {
        removeScratch(dir);
      }
    }, 180_000);
  }
});
