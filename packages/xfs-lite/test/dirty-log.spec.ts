import { assertTreesEqual, describeFsTree, describeHostTree, describeWithOracle, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { makeDirty } from './dirty.js';
import { withMount } from './driver.js';

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha1');
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  return hash.digest('hex');
};

const SETS = [
  ['defaults', ''],
  ['rmapbt, nrext64', '-m rmapbt=1 -i nrext64=1'],
  ['1k blocks, small log', '--unsupported -b size=1024 -l size=4m'],
  ['4k sectors', '-s size=4096'],
  ['log stripe', '-l su=256k'],
  ['16k directories, no reflink', '-n size=16384 -m reflink=0'],
  ['1k inodes, no sparse', '-i size=1024,sparse=0'],
  ['no bigtime, small log', '--unsupported -m bigtime=0,finobt=0 -l size=9m'],
  ['64k blocks', '--unsupported -b size=65536'],
] as const;

describeWithOracle(['mkfs-xfs', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr'], 'replays a dirty log', () => {
  const seed = Number(process.env['SEED'] ?? 1);
  const count = Number(process.env['XFS_DIRTY'] ?? 3);
  for (let n = 0; n < count; n++) {
    const [name, args] = SETS[n % SETS.length] ?? SETS[0];
    const flushLog = n % 3 !== 2;
    const ops = [150, 60, 200, 900, 2500][n % 5] ?? 100;
    it(`${n}: ${name}, ${ops} operations, ${flushLog ? 'log flushed' : 'log cut'} (seed ${seed + n})`, async () => {
      const dir = scratchDir('iomap-xfs');
      try {
        const image = join(dir, 'image');
        makeDirty(image, { seed: seed + n, args: args === '' ? [] : args.split(' '), ops, flushLog });
        const before = await hashOf(image);
        let wasReplayed = false;
        const [ours, statfs] = withMount(image, (fs) => {
          wasReplayed = fs.wasReplayed;
          return [runSync(describeFsTree(fs)), runSync(fs.statfs())] as const;
        });
        expect(await hashOf(image)).toBe(before);
        expect(wasReplayed).toBe(true);
        expect(statfs.blocks).toBeGreaterThan(0);
        // The kernel replays when it mounts.
        withLoopMount(image, { type: 'xfs', options: ['noatime'] }, (mounted) => {
          assertTreesEqual(describeHostTree(mounted), ours, { times: ['atime', 'mtime', 'ctime'], symlinkModes: true }, 'what the kernel recovered and ours');
        });
      } finally {
        removeScratch(dir);
      }
    }, 120_000);
  }
});
