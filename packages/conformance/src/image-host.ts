/**
 * Where a random workload over a driver lives: an image in memory that is made, mounted through a vfs, unmounted at each
 * checkpoint, checked by the driver and by the real tool, and read back.
 */
import { fixedEnv, type Env, type Io } from '@iomap/io';
import type { Name } from '@iomap/vfs';
import type { DriverUnderTest, FormatOptions } from './driver.js';
import { describeFsTree } from './fs-tree.js';
import { judgeImage } from './hostile.js';
import { imageDevice } from './image-device.js';
import { withImageFile } from './scratch.js';
import { without, type Tree } from './tree.js';
import { vfsSubject, type VfsSubject } from './vfs-subject.js';
import type { WorkloadHost } from './workload.js';

export interface ImageHostOptions {
  readonly driver: DriverUnderTest;
  readonly sizeBytes: number;
  readonly format?: Omit<FormatOptions, 'env'>;
  /** Default: a clock that ticks by 1 ms. */
  readonly env?: Env;
  /** The device answers by promises: run the workload with `runAsync`. */
  readonly async?: boolean;
  /** Ask the real tool at checkpoints, where the driver names one. Default true. */
  readonly judge?: boolean;
  readonly cacheBytes?: number;
  readonly bufferBytes?: number;
  readonly ignore?: readonly Name[];
  /** An image to start from in place of a new one. */
  readonly image?: Uint8Array;
}

export interface ImageHost extends WorkloadHost {
  /** The image as it is. */
  readonly bytes: Uint8Array;
}

/** Makes a host; the image is made at the first `open`. */
export function imageHost(options: ImageHostOptions): ImageHost {
  const { driver } = options;
  const env = options.env ?? fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 }, tickNs: 1_000_000 });
  let bytes: Uint8Array = new Uint8Array(options.sizeBytes);
  const device = (readOnly = false): ReturnType<typeof imageDevice> =>
    imageDevice(bytes, { async: options.async ?? false, readOnly });
  const budget = {
    ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
    ...(options.bufferBytes === undefined ? {} : { bufferBytes: options.bufferBytes }),
  };
  let fresh: Uint8Array | undefined = options.image;

  function* open(image: unknown): Io<VfsSubject> {
    if (image instanceof Uint8Array) {
      bytes.set(image);
    } else {
      if (fresh === undefined) {
        bytes.fill(0);
        yield* driver.mkfs(device(), { env, ...options.format });
        fresh = bytes.slice();
      }
      if (bytes.length !== fresh.length) bytes = new Uint8Array(fresh.length);
      bytes.set(fresh);
    }
    return yield* vfsSubject({
      name: driver.name,
      env,
      mount: () => driver.mount(device(), { env, ...budget }),
      ...(options.ignore === undefined ? {} : { ignore: options.ignore }),
    });
  }

  function* settle(subject: unknown, judge: boolean): Io<{ tree: Tree; findings: string[] }> {
    yield* (subject as VfsSubject).unmount();
    const findings: string[] = [];
    if (judge) {
      const summary = yield* driver.check(device(true));
      if (!summary.clean) findings.push(...summary.findings.map((line) => `check: ${line}`), 'check: not clean');
      if (driver.fsck !== undefined && options.judge !== false) {
        const verdict = withImageFile(bytes, (path) => judgeImage(driver, path));
        if (!verdict.clean) findings.push(...verdict.lines.map((line) => `${driver.fsck}: ${line}`));
      }
    }
    const fs = yield* driver.mount(device(true), { env, readOnly: true, ...budget });
    const tree = without(yield* describeFsTree(fs), options.ignore);
    yield* fs.unmount();
    return { tree, findings };
  }

  return {
    get bytes() {
      return bytes;
    },
    open,
    settle,
    save: () => bytes.slice(),
  };
}
