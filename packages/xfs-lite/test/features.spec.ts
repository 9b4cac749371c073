/**
 * Features that mkfs.xfs 6.1 does not make: a uuid changed afterwards (`xfs_admin -U`), and parent pointers with the exchange of
 * ranges, whose bits are set here in the superblocks of a new image; the kernel then writes it accordingly.
 */
import { describeWithOracle, removeScratch, runTool, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { check, featureNames } from '../src/index.js';
import { putSum } from '../src/crc32c.js';
import { ATTR } from '../src/ondisk-trees.js';
import { INCOMPAT, XfsSuper } from '../src/ondisk.js';
import { compareWithKernel, mkfsXfs, withDevice, withMount } from './driver.js';
import { populate } from './populate.js';

const TREE = { blockSize: 4096, reflink: true, names: [1, 12, 60, 500, 2000], extents: 300, xattrs: 100, small: true };

/** Sets bits of `features_incompat` in every copy of the superblock. */
function setIncompat(image: string, bits: number): void {
  const fd = openSync(image, 'r+');
  const sector = new Uint8Array(512);
  readSync(fd, sector, 0, 512, 0);
  const { sb_agcount: groups, sb_agblocks: blocks, sb_blocksize: blockSize } = XfsSuper.at(sector);
  for (let ag = 0; ag < groups; ag++) {
    const pos = ag * blocks * blockSize;
    readSync(fd, sector, 0, 512, pos);
    XfsSuper.at(sector).sb_features_incompat += bits;
    putSum(sector, 0, 512, XfsSuper.offsets.sb_crc);
    writeSync(fd, sector, 0, 512, pos);
  }
  closeSync(fd);
}

function withImage(fn: (image: string) => void): void {
  const dir = scratchDir('iomap-xfs');
  try {
    fn(join(dir, 'image'));
  } finally {
    removeScratch(dir);
  }
}

const namesOf = (image: string): string[] => withMount(image, (fs) => featureNames(fs.volume.info));

describeWithOracle(['mkfs-xfs', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr', 'setfacl'], 'features that mkfs.xfs 6.1 does not make', () => {
  it('a uuid that was changed (meta_uuid)', () => {
    withImage((image) => {
      mkfsXfs(image, 320 * 2 ** 20, []);
      withLoopMount(image, { type: 'xfs' }, (mounted) => populate(mounted, TREE));
      const before = withMount(image, ({ uuid }) => Buffer.from(uuid).toString('hex'));
      runTool('xfs_admin', ['-U', 'generate', image], { expect: [0] });
      const { uuid, metaUuid } = withMount(image, (fs) => fs.volume.info);
      expect([Buffer.from(metaUuid).toString('hex'), Buffer.from(uuid).toString('hex') === before]).toEqual([before, false]);
      expect(namesOf(image)).toContain('meta_uuid');
      compareWithKernel(image, 'meta_uuid');
      // The kernel stamps what it writes with the old uuid still.
      withLoopMount(image, { type: 'xfs' }, (mounted) => runTool('mkdir', [join(mounted, 'new')], { expect: [0] }));
      compareWithKernel(image, 'meta_uuid, written to');
      expect(withDevice(image, (device) => runSync(check(device))).findings).toEqual([]);
    });
  }, 60_000);

  it('parent pointers and exchange of ranges', () => {
    withImage((image) => {
      mkfsXfs(image, 320 * 2 ** 20, []);
      setIncompat(image, INCOMPAT.parent + INCOMPAT.exchrange);
      expect(namesOf(image)).toEqual(expect.arrayContaining(['parent', 'exchrange']));
      withLoopMount(image, { type: 'xfs' }, (mounted) => populate(mounted, TREE));
      // The kernel has written pointers: the first attribute of a file in its inode is one.
      const flags = withMount(image, (fs) => {
        const root = runSync(fs.readInode(fs.rootIno));
        const inode = runSync(fs.readInode(runSync(fs.lookup(root, 'grown'))));
        return inode.attr?.bytes[6];
      });
      expect(flags).toBe(ATTR.PARENT);
      compareWithKernel(image, 'parent');
      expect(withDevice(image, (device) => runSync(check(device))).findings).toEqual([]);
    });
  }, 60_000);
});
