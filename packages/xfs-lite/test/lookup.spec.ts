/**
 * A directory of very many names, made by the kernel: listed and looked up name by name. `XFS_NAMES` says how many; the run of a
 * million takes a minute.
 */
import { describeWithOracle, removeScratch, runTool, scratchDir, withLoopMount } from '@iomap/conformance';
import { runSync } from '@iomap/io';
import { closeSync, linkSync, lstatSync, mkdirSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../src/index.js';
import { mkfsXfs, withDevice, withMount } from './driver.js';

const FILES = 1000;
const nameOf = (n: number): string => `${n}-${'x'.repeat((n * 37) % 23)}`;

/** Links to a thousand files, so that the kernel makes them fast; every eleventh is removed again. */
function fill(mounted: string, count: number): number[] {
  const inos: number[] = [];
  mkdirSync(join(mounted, 'files'));
  mkdirSync(join(mounted, 'many'));
  for (let n = 0; n < FILES; n++) {
    const path = join(mounted, 'files', String(n));
    closeSync(openSync(path, 'w'));
    inos.push(lstatSync(path).ino);
  }
  for (let n = 0; n < count; n++) linkSync(join(mounted, 'files', String(n % FILES)), join(mounted, 'many', nameOf(n)));
  for (let n = 0; n < count; n += 11) unlinkSync(join(mounted, 'many', nameOf(n)));
  return inos;
}

describeWithOracle(['mkfs-xfs', 'loop-mount', 'xfs-repair'], 'a directory of very many names', () => {
  const count = Number(process.env['XFS_NAMES'] ?? 25_000);
  it.each([
    // 120 entries a leaf and 120 leaves a node: three levels above 14,400 names.
    ['1k blocks', ['-b', 'size=1024']],
    ['4k blocks', []],
  ] as const)('%s', (_name, args) => {
    const dir = scratchDir('iomap-xfs');
    try {
      const image = join(dir, 'image');
      mkfsXfs(image, count > 100_000 ? 2 ** 30 : 320 * 2 ** 20, args);
      let inos: number[] = [];
      let listed = '';
      withLoopMount(image, { type: 'xfs' }, (mounted) => {
        inos = fill(mounted, count);
        // In the order of the directory, which is the order of its blocks.
        listed = runTool('ls', ['-f', '-i', '-1', join(mounted, 'many')], { expect: [0], timeoutMs: 120_000 }).stdout.replaceAll(/^ +/gm, '');
      });
      withMount(image, (fs) => {
        const root = runSync(fs.readInode(fs.rootIno));
        const many = runSync(fs.readInode(runSync(fs.lookup(root, 'many'))));
        let ours = '';
        runSync(fs.readdir(many, 0, (name, ino) => {
          ours += `${ino} ${name}\n`;
          return true;
        }));
        expect(ours === listed).toBe(true);
        let wrong = 0;
        for (let n = 0; n < count; n++) {
          const found = fs.peekLookup(many, nameOf(n)) ?? runSync(fs.lookup(many, nameOf(n)));
          if (found !== (n % 11 === 0 ? 0 : inos[n % FILES])) wrong++;
        }
        expect(wrong).toBe(0);
        expect(many.index?.bytes).toBeGreaterThan(0);
        // The index takes next to nothing.
        expect(many.index?.bytes).toBeLessThan(2.5 * count);
      });
      if (count <= 100_000) expect(withDevice(image, (device) => runSync(check(device))).findings).toEqual([]);
    } finally {
      removeScratch(dir);
    }
  }, 300_000);
});
