import { describeWithOracle, removeScratch, scratchDir } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { makeDirty } from './dirty.js';
import { withMount } from './driver.js';
import { compareRecovery, DIRTY_SETS } from './soak.js';

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha1');
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  return hash.digest('hex');
};

describeWithOracle(['mkfs-xfs', 'xfs-io', 'loop-mount', 'getfattr', 'setfattr'], 'replays a dirty log', () => {
  const seed = testSeed();
  const count = Number(process.env['XFS_DIRTY'] ?? 3);
  for (let n = 0; n < count; n++) {
    const [name, args] = DIRTY_SETS[n % DIRTY_SETS.length] ?? ['defaults', ''];
    const flushLog = n % 3 !== 2;
    const ops = [150, 60, 200, 900, 2500][n % 5] ?? 100;
    it(`${n}: ${name}, ${ops} operations, ${flushLog ? 'log flushed' : 'log cut'} (seed ${seed + n})`, async () => {
      const dir = scratchDir('iomap-xfs');
      try {
        const image = join(dir, 'image');
        makeDirty(image, { seed: seed + n, args: args === '' ? [] : args.split(' '), ops: 30, flushLog });
        const before = await hashOf(image);
        expect(withMount(image, (fs) => [fs.wasReplayed, runSync(fs.statfs()).blocks > 0])).toEqual([true, true]);
        expect(await hashOf(image)).toBe(before);
        compareRecovery(image, { seed: seed + n, args, ops, flushLog });
      } finally {
        removeScratch(dir);
      }
    }, 120_000);
  }
});
