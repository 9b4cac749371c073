/** XFS for the command: what `@iomap/xfs-lite` does, in the words of drivers.ts. */
import { FsError, unsupported, type Io } from '@iomap/io';
import { mount, rawSuper, readLogState, readSuper } from '@iomap/xfs-lite';
import type { Driver } from '../drivers.js';
import { xfsFacts } from './xfs-facts.js';

export const xfsDriver: Driver = {
  type: 'xfs',
  *probe(device) {
    return (yield* rawSuper(device)) !== undefined;
  },
  *mkfs() {
    throw unsupported('making an XFS is not there yet');
  },
  mount: (device, request) =>
    mount(device, {
      readOnly: request.readOnly,
      ...(request.env === undefined ? {} : { env: request.env }),
      ...(request.cacheBytes === undefined ? {} : { pageCacheBytes: request.cacheBytes }),
    }),
  *check(device) {
    yield* readSuper(device);
    throw unsupported('checking an XFS is not there yet: run xfs_repair -n');
  },
  *facts(device) {
    const raw = yield* rawSuper(device);
    return raw === undefined ? [] : xfsFacts(raw, yield* logText(readLogState(device)));
  },
  plan() {
    throw unsupported('building an XFS is not there yet');
  },
};

function* logText(io: Io<{ readonly isClean: boolean }>): Io<string> {
  try {
    return (yield* io).isClean ? 'clean' : 'dirty: replayed in memory when it is read';
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return `not readable (${error.code}: ${error.why ?? error.message})`;
  }
}
