import { describeWithOracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { join } from 'node:path';
import { compareWithKernel, mkfsXfs } from './driver.js';
import { populate, type PopulateOptions } from './populate.js';
import { OPTION_SETS, type OptionSet } from './option-sets.js';

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
