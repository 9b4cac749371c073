/** Images built at once, over block sizes, inode sizes and features: clean to all checkers, and the source's tree to the kernel. */
import { assertTreesEqual, canLoopMount, describeHostTree, describeWithOracle, makeSampleTree, withLoopMount, without } from '@iomap/conformance';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, good, scratch, sh } from './harness.js';

const FORMATS = ['1K', '2K', '4K'].flatMap((block) =>
  ['128', '256'].flatMap((inode) => ['dir_index,sparse_super', '^dir_index,^sparse_super,^resize_inode'].map((features) => ({ block, inode, features }))),
);

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

function expectClean(image: string): void {
  // Throws with e2fsck's own words when it is not.
  execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
}

describeWithOracle(['e2fsck', 'loop-mount', 'getfattr'], 'build at once', () => {
  let source = '';
  beforeAll(() => {
    source = join(scratch(), 'source');
    mkdirSync(source);
    // With larger sets of attributes than a block of 1 KiB has room for, something would be left out.
    makeSampleTree(source, { namesInOneDirectory: 3000, xattrs: 3 });
    mkdirSync(join(source, 'lost+found'), { mode: 0o711 });
    writeFileSync(join(source, 'lost+found', '#12'), 'found');
    writeFileSync(join(source, 'large'), Buffer.alloc(9_000_001, 'large'));
    sh('for f in a b c d; do echo $f > shared-$f; setfattr -n user.long -v 0x$(printf "%0600d" 7) shared-$f; done', source);
  });
  afterAll(cleanUp);

  for (const { block, inode, features } of FORMATS) {
    it(`${block}, ${inode}, ${features}`, async () => {
      const folder = scratch();
      const image = join(folder, 'a.img');
      const flags = ['--block-size', block, '--inode-size', inode, '--features', features];
      await good(['build', ...flags, source, image]);
      expectClean(image);
      expect(await good(['fsck', image])).toContain('clean');
      if (!canLoopMount('ext2')) return;
      withLoopMount(image, { type: 'ext2', options: ['ro'] }, (dir) => {
        assertTreesEqual(describeHostTree(source), describeHostTree(dir), {
          granularityNs: inode === '128' ? 1_000_000_000 : 1,
          ignore: [],
        });
      });
      await good(['build', ...flags, source, join(folder, 'b.img')]);
      expect(digest(join(folder, 'b.img'))).toBe(digest(image));
    });
  }

  it('fills an image of a given size, with room to grow, and the kernel goes on with it', async () => {
    const image = join(scratch(), 'a.img');
    await good(['build', '--size', '200M', source, image]);
    expectClean(image);
    withLoopMount(image, { type: 'ext2', options: ['rw'] }, (dir) => {
      sh('rm -r many; mkdir new; cp large new/; for i in $(seq 300); do : > new/name-$i; done; rm large', dir);
    });
    expectClean(image);
  });

  it('makes what it builds as large as it has to be', async () => {
    const image = join(scratch(), 'a.img');
    for (const block of ['1K', '4K']) {
      await good(['build', '--block-size', block, source, image]);
      const tree = without(describeHostTree(source));
      expect(tree.size).toBeGreaterThan(3000);
      const told = execFileSync('dumpe2fs', ['-h', image], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      const value = (key: string): number => Number(new RegExp(`^${key}: +([0-9]+)`, 'm').exec(told)?.[1] ?? Number.NaN);
      expect(value('Free blocks') / value('Block count')).toBeLessThan(0.02);
      expect(statSync(image).size).toBe(value('Block count') * value('Block size'));
    }
  });

  it('indexes a directory in two levels, and every name is found', async () => {
    const folder = scratch();
    const many = join(folder, 'source');
    mkdirSync(many);
    sh(`cd ${many} && seq -f 'a-name-that-is-somewhat-longer-than-others-%06g' 9000 | xargs touch`);
    const image = join(folder, 'a.img');
    await good(['build', '--block-size', '1K', many, image]);
    expectClean(image);
    expect(await good(['fsck', image])).toContain('clean');
    withLoopMount(image, { type: 'ext2', options: ['ro'] }, (dir) => {
      // By name, not by listing.
      sh(`cd ${dir} && seq -f 'a-name-that-is-somewhat-longer-than-others-%06g' 9000 | xargs stat -c %i > /dev/null`);
    });
    expect(execFileSync('debugfs', ['-R', 'htree_dump /', image], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).toContain('Indirect levels: 1');
  });
});
