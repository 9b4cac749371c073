/**
 * Images that a driver makes and edits, for each format: clean to the real tool, and the same tree to the running kernel
 * as to the model. Images that another tool made and the driver edits, likewise.
 */
import { ok } from 'node:assert/strict';
import { fixedEnv, runSync } from '@iomap/io';
import type { DriverUnderTest, FormatOptions } from '../driver.js';
import { PROFILES, type Profile } from '../generate.js';
import { describeHostTree } from '../host-tree.js';
import { judgeImage } from '../hostile.js';
import { imageDevice } from '../image-device.js';
import { imageHost } from '../image-host.js';
import { describeWithOracle, testGlobals } from '../jest.js';
import { withLoopMount } from '../loop-mount.js';
import { canLoopMount, findOracle } from '../oracle.js';
import { withImageFile } from '../scratch.js';
import { assertTreesEqual, without } from '../tree.js';
import { modelOf, runWorkload } from '../workload.js';

export interface ImageFormat {
  readonly name: string;
  readonly options?: Omit<FormatOptions, 'env'>;
  /** Makes the image by another tool; then `options` do not count. */
  readonly make?: () => Uint8Array;
  /** A different size for this format. */
  readonly sizeBytes?: number;
  /** A different profile: what the format can hold. */
  readonly profile?: Profile;
  /** The driver without its tool, where the tool cannot read the format. */
  readonly driver?: DriverUnderTest;
}

export interface ImageMatrix {
  readonly formats: readonly ImageFormat[];
  /** Bytes; default 32 MiB. */
  readonly sizeBytes?: number;
  /** Random operations that edit each image. Default 600. */
  readonly ops?: number;
  /** Of the random operations; printed on failure. Default 1. */
  readonly seed?: number;
  readonly profile?: Profile;
  /** Options of the kernel's mount. Default `ro`. */
  readonly mountOptions?: readonly string[];
}

/** A profile small enough that the host side, which reads holes, stays quick. */
const EDIT: Profile = { ...PROFILES.mixed, name: 'edit', filesTarget: 120, bytesTarget: 4 * 2 ** 20, sparseMax: 2 ** 23 };

/** Edits the image by `ops` random operations and compares with the model, our check, the tool and the kernel. */
function editAndCompare(theDriver: DriverUnderTest, format: ImageFormat, matrix: ImageMatrix, seed: number): void {
  const driver = format.driver ?? theDriver;
  const sizeBytes = format.sizeBytes ?? matrix.sizeBytes ?? 32 * 2 ** 20;
  const host = imageHost({
    driver,
    sizeBytes,
    ...(format.options === undefined ? {} : { format: format.options }),
    ...(format.make === undefined ? {} : { image: format.make() }),
  });
  const profile = format.profile ?? matrix.profile ?? EDIT;
  const model = modelOf(profile);
  const ops = matrix.ops ?? 600;
  runSync(runWorkload({ host, model, profile, seed, ops, checkEvery: ops, shrinkMs: 5000 }));
  const type = driver.kernelType;
  if (type === undefined || !canLoopMount(type)) return;
  withImageFile(host.bytes, (path) =>
    withLoopMount(path, { type, options: matrix.mountOptions ?? ['ro'] }, (dir) => {
      assertTreesEqual(model.toTree(), without(describeHostTree(dir)), { times: [] }, `seed ${seed}: the model and the kernel's view`);
    }),
  );
}

/** Declares the suite. */
export function imageMatrixSuite(theDriver: DriverUnderTest, matrix: ImageMatrix): void {
  const { it } = testGlobals();
  const tools = theDriver.fsck === undefined ? [] : [theDriver.fsck];
  describeWithOracle([...tools, 'loop-mount', 'getfattr'], `${theDriver.name} images`, () => {
    for (const format of matrix.formats) {
      const driver = format.driver ?? theDriver;
      if (format.make === undefined) {
        it(`${format.name}: as made is clean`, () => {
          const bytes = new Uint8Array(format.sizeBytes ?? matrix.sizeBytes ?? 32 * 2 ** 20);
          const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
          runSync(driver.mkfs(imageDevice(bytes), { env, ...format.options }));
          const summary = runSync(driver.check(imageDevice(bytes, { readOnly: true })));
          ok(summary.clean, summary.findings.join('\n'));
          if (driver.fsck === undefined || findOracle(driver.fsck) === undefined) return;
          const verdict = withImageFile(bytes, (path) => judgeImage(driver, path));
          ok(verdict.clean, verdict.lines.join('\n'));
        });
      }
      it(`${format.name}: edited is clean, and equal to the kernel`, () => {
        editAndCompare(driver, format, matrix, matrix.seed ?? 1);
      });
    }
  });
}
