/** Images built at once, over the option sets: clean to xfs_repair, the source's tree to the kernel and to us, and the kernel goes on with them. */
import {
  assertTreesEqual, describeFsTree, describeHostTree, describeWithOracle, loopMount, oracle, removeScratch, runTool, scratchDir, withLoopMount, type Tree,
} from '@iomap/conformance';
import { openFileDevice } from '@iomap/block-device/node';
import { fixedEnv, runSync } from '@iomap/io';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bulkBuild, bulkSize, check, type MkfsOptions } from '../src/index.js';
import { formatOf, hostData, hostSource, type SourceNode } from './build-source.js';
import { mkfsXfs, withDevice, withMount } from './driver.js';
import { OPTION_SETS } from './option-sets.js';
import { populate } from './populate.js';

const UUID = '12345678-1234-1234-1234-123456789abc';

/** Builds into a new file. */
function build(image: string, sizeBytes: number, root: SourceNode, format: MkfsOptions): void {
  const device = openFileDevice(image, { create: true, truncate: true, sizeBytes });
  try {
    runSync(bulkBuild(device, { root, data: hostData, format: { uuid: UUID, assumeZeroed: true, ...format }, env: fixedEnv() }));
  } finally {
    device.close();
  }
}

function expectClean(image: string): void {
  const { status, stdout, stderr } = oracle('xfs-repair').run(['-n', '-o', 'force_geometry', image]);
  expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
}

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

describeWithOracle(['mkfs-xfs', 'xfs-repair', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr', 'setfacl'], 'build at once', () => {
  let dir = '';
  let tree: Tree = new Map();
  let root: SourceNode | undefined;
  let unmount = (): void => undefined;
  const all = process.env['XFS_ALL'] !== undefined;
  const only = process.env['XFS_SET'];

  beforeAll(() => {
    dir = scratchDir('iomap-xfs-build');
    const from = join(dir, 'source');
    mkfsXfs(from, 640 * 2 ** 20, []);
    const mounted = loopMount(from, { type: 'xfs', options: ['noatime'] });
    unmount = () => mounted.unmount();
    const names = all ? [1, 12, 60, 500, 3000, 20_000] : [1, 12, 60, 500, 3000];
    populate(mounted.dir, { blockSize: 4096, reflink: true, names, extents: all ? 3000 : 900, xattrs: all ? 1000 : 300 });
    tree = describeHostTree(mounted.dir);
    root = hostSource(mounted.dir, tree);
  }, 120_000);
  afterAll(() => {
    unmount();
    removeScratch(dir);
  });

  for (const set of OPTION_SETS.filter(({ name, slice }) => (only === undefined ? all || slice === true : name === only))) {
    it(set.name, () => {
      if (root === undefined) throw new Error('no source');
      const image = join(dir, 'image');
      const format = formatOf(set.args);
      const sizeBytes = bulkSize(root, format);
      build(image, sizeBytes, root, format);
      expectClean(image);
      expect(withDevice(image, (device) => runSync(check(device)).findings)).toEqual([]);
      // What the format cannot hold is held as well as it can be.
      const times = format.bigtime === false ? [] : (['atime', 'mtime', 'ctime'] as const);
      assertTreesEqual(tree, withMount(image, (fs) => runSync(describeFsTree(fs))), { times }, 'our driver');
      const options = ['ro', 'norecovery'];
      withLoopMount(image, { type: 'xfs', options }, (mounted) => assertTreesEqual(tree, describeHostTree(mounted), { times }, 'kernel'));
      const again = join(dir, 'again');
      build(again, sizeBytes, root, format);
      expect(digest(again)).toBe(digest(image));
      rmSync(again);
      // With room to write.
      build(image, sizeBytes + 64 * 2 ** 20, root, format);
      withLoopMount(image, { type: 'xfs' }, editByKernel);
      expectClean(image);
      rmSync(image);
    }, 180_000);
  }
});

/** Creates, deletes and appends everywhere. */
function editByKernel(mounted: string): void {
  const script = `cd ${mounted}
    mkdir new; for n in $(seq 300); do echo $n > new/n$n; done
    for d in names-*; do for n in $(seq 40); do : > $d/more-$n; done; ls -U $d | sed -n 1,20p | (cd $d && xargs rm -f); done
    for f in file-1* fragments grown far; do echo appended >> $f; done
    for n in $(seq 20); do setfattr -n user.more-$n -v value-$n x-many x-mid x-few; done
    setfattr -x user.large-0 x-large; rm -r links lengths prealloc shared; rm -f file-2*; mv names-60 new/; ln -s ${'t'.repeat(600)} new/link
    truncate -s 3000000 fragments; sync`;
  runTool('bash', ['-euo', 'pipefail', '-c', script], { expect: [0] });
  writeFileSync(join(mounted, 'last'), Buffer.alloc(5_000_000, 'last'));
}
