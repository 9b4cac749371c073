/**
 * POSIX behaviour through the vfs, for every runner × format of a driver. After each case the image is checked by the
 * driver and by its real tool.
 */
import { deepStrictEqual as equal, ok } from 'node:assert/strict';
import { fixedEnv, runAsync, runSync, type Env, type Io } from '@iomap/io';
import { createVfs, type Vfs } from '@iomap/vfs';
import type { DriverUnderTest, FormatOptions } from '../driver.js';
import { judgeImage } from '../hostile.js';
import { imageDevice } from '../image-device.js';
import { testGlobals } from '../jest.js';
import { findOracle } from '../oracle.js';
import { withImageFile } from '../scratch.js';
import { FILE_SYSTEM_CASES, type CaseLimits, type FileSystemCase } from './file-system-cases.js';

export interface SuiteFormat {
  readonly name: string;
  readonly options: Omit<FormatOptions, 'env'>;
  /** What it cannot hold. */
  readonly limits?: CaseLimits;
  /** The driver without its tool, where the tool cannot read the format. */
  readonly driver?: DriverUnderTest;
}

export interface FileSystemMatrix {
  /** Default: both. */
  readonly runners?: readonly ('sync' | 'async')[];
  /** Named formats; default: the driver's own defaults. */
  readonly formats?: readonly SuiteFormat[];
  /** Bytes of the image; default 16 MiB. */
  readonly sizeBytes?: number;
  /** Cases left out, by name, with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
  /** Cases of the driver's own. */
  readonly more?: readonly FileSystemCase[];
}

/** One case in a new image, with a remount when it asks for one. */
function* runCase(
  driver: DriverUnderTest,
  one: FileSystemCase,
  bytes: Uint8Array,
  at: { readonly env: Env; readonly async: boolean; readonly format: SuiteFormat },
): Io<void> {
  const { env, format } = at;
  const device = imageDevice(bytes, { async: at.async });
  yield* driver.mkfs(device, { env, ...format.options });
  let vfs = createVfs(yield* driver.mount(device, { env }), { env });
  const world = {
    env,
    limits: format.limits,
    get vfs(): Vfs {
      return vfs;
    },
    *remount(): Io<Vfs> {
      yield* vfs.unmount();
      vfs = createVfs(yield* driver.mount(device, { env }), { env });
      return vfs;
    },
  };
  yield* one.run(world);
  yield* vfs.unmount();
  const summary = yield* driver.check(imageDevice(bytes, { async: at.async, readOnly: true }));
  equal(summary.findings.slice(0, 10), []);
  ok(summary.clean, 'the check says the image is not clean');
}

/** Declares the suite. */
export function fileSystemSuite(theDriver: DriverUnderTest, matrix: FileSystemMatrix = {}): void {
  const { describe, it } = testGlobals();
  const formats: readonly SuiteFormat[] = matrix.formats ?? [{ name: 'default', options: {} }];
  for (const format of formats) {
    const driver = format.driver ?? theDriver;
    for (const runner of matrix.runners ?? ['sync', 'async']) {
      describe(`${driver.name} ${format.name}, ${runner}`, () => {
        for (const one of [...FILE_SYSTEM_CASES, ...(matrix.more ?? [])]) {
          if (matrix.skip?.[one.name] !== undefined) continue;
          it(one.name, async () => {
            const bytes = new Uint8Array(matrix.sizeBytes ?? 16 * 2 ** 20);
            const env = fixedEnv({ start: { sec: 1_600_000_000, nsec: 1 }, tickNs: 1_000_000 });
            const io = runCase(driver, one, bytes, { env, async: runner === 'async', format });
            if (runner === 'sync') runSync(io);
            else await runAsync(io);
            if (driver.fsck === undefined || findOracle(driver.fsck) === undefined) return;
            const verdict = withImageFile(bytes, (path) => judgeImage(driver, path));
            ok(verdict.clean, verdict.lines.join('\n'));
          });
        }
      });
    }
  }
}
