import { describeWithOracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { join } from 'node:path';
import { compareWithKernel, mkfsXfs, withMount } from './driver.js';
import { populate, type PopulateOptions } from './populate.js';
import { OPTION_SETS, type OptionSet } from './option-sets.js';

function optionsOf(set: OptionSet): PopulateOptions {
  const { blockSize, reflink } = set;
  return { blockSize, reflink, names: set.names ?? [1, 12, 60, 500, 3000], extents: set.extents ?? 900, xattrs: set.xattrs ?? 300 };
}

/** Levels above the leaves of a file's extent tree. */
const levelsOf = (image: string, name: string): number =>
  withMount(image, (fs) => {
    const ino = runSync(fs.lookup(runSync(fs.readInode(fs.rootIno)), name));
    return runSync(fs.readInode(ino)).data.view.getUint16(0);
  });

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
        if (set.blockSize === 1024 && (set.extents ?? 0) > 2000) expect(levelsOf(image, 'fragments')).toBeGreaterThanOrEqual(2);
      } finally {
        removeScratch(dir);
      }
    }, 180_000);
  }
});
