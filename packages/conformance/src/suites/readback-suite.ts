/**
 * Images that others wrote, read back whole: by the format's own tool from a folder, and by the kernel (copied into a
 * loop mount, with fragmented files). The kernel's view of an image is what ours is compared with.
 */
import { fixedEnv, runSync } from '@iomap/io';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DriverUnderTest } from '../driver.js';
import { describeFsTree } from '../fs-tree.js';
import { describeHostTree } from '../host-tree.js';
import { imageDevice } from '../image-device.js';
import { describeWithOracle, testGlobals } from '../jest.js';
import { withLoopMount } from '../loop-mount.js';
import { runTool, type OracleName } from '../oracle.js';
import { makeFragmentedFiles, makeSampleTree, type SampleTreeOptions } from '../sample-tree.js';
import { removeScratch, scratchDir } from '../scratch.js';
import { assertTreesEqual, type DiffOptions, type Tree } from '../tree.js';

export interface ReadbackFormat {
  readonly name: string;
  /** Makes an empty image at `path`; with `from`, one that holds that folder (where the tool can). */
  readonly make: (path: string, from: string | undefined) => void;
  /** False: the tool cannot fill an image from a folder. */
  readonly fromFolder?: boolean;
  readonly tree?: SampleTreeOptions;
  /** Another tree for the tool that fills from a folder. Default `tree`. */
  readonly folder?: SampleTreeOptions;
  /** What of the tree the format cannot hold. */
  readonly diff?: DiffOptions;
}

export interface ReadbackOptions {
  readonly formats: readonly ReadbackFormat[];
  /** The tools that `make` uses. */
  readonly tools: readonly OracleName[];
}

/** Our view of an image file. */
export function readTree(driver: DriverUnderTest, path: string): Tree {
  const device = imageDevice(readFileSync(path), { readOnly: true, name: path });
  const fs = runSync(driver.mount(device, { env: fixedEnv(), readOnly: true }));
  const tree = runSync(describeFsTree(fs));
  runSync(fs.unmount());
  return tree;
}

/** Declares the suite. */
export function readbackSuite(driver: DriverUnderTest, options: ReadbackOptions): void {
  const { it } = testGlobals();
  const type = driver.kernelType ?? driver.name;
  describeWithOracle([...options.tools, 'loop-mount', 'getfattr', 'setfattr', 'setfacl'], `${driver.name} reads back`, () => {
    for (const format of options.formats) {
      const compare = (image: string): void =>
        withLoopMount(image, { type, options: ['ro'] }, (mounted) => {
          const diff: DiffOptions = { times: ['mtime', 'ctime'], ...format.diff };
          assertTreesEqual(describeHostTree(mounted), readTree(driver, image), diff, `${format.name}: the kernel's view and ours`);
        });

      if (format.fromFolder !== false) {
        it(`${format.name}: what the tool filled from a folder`, () => {
          const dir = scratchDir('iomap-readback');
          try {
            const source = join(dir, 'source');
            mkdirSync(source);
            makeSampleTree(source, format.folder ?? format.tree);
            const image = join(dir, 'image');
            format.make(image, source);
            compare(image);
            // Tools that fill an image write times in seconds and their own root.
            const diff: DiffOptions = { granularityNs: 1_000_000_000, ignoreRoot: true, ...format.diff };
            assertTreesEqual(describeHostTree(source), readTree(driver, image), diff, `${format.name}: the folder and the image`);
          } finally {
            removeScratch(dir);
          }
        }, 120_000);
      }

      it(`${format.name}: what the kernel wrote`, () => {
        const dir = scratchDir('iomap-readback');
        try {
          const source = join(dir, 'source');
          mkdirSync(source);
          makeSampleTree(source, format.tree);
          const image = join(dir, 'image');
          format.make(image, undefined);
          withLoopMount(image, { type }, (mounted) => {
            runTool('cp', ['-a', `${source}/.`, mounted], { expect: [0] });
            makeFragmentedFiles(mounted);
            for (let n = 0; n < 60; n += 3) rmSync(join(mounted, `file-${n}`), { force: true });
          });
          compare(image);
        } finally {
          removeScratch(dir);
        }
      }, 120_000);
    }
  });
}
