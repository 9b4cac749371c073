/** `nodeFs`: an object in the shape of Node's `fs` over a mount. */
import type * as nodeFsModule from 'node:fs';
import { Dir } from './dir.js';
import { bytesOf } from './arguments.js';
import { constants } from './constants.js';
import type { Context } from './context.js';
import {
  deriveFaces,
  makeRunner,
  type CallbackFace,
  type PromiseFace,
  type RunnerKind,
  type SyncFace,
} from './derive.js';
import { Dirent } from './dirent.js';
import { FileHandle } from './file-handle.js';
import { unsupported } from './file-ops.js';
import type { Path } from './arguments.js';
import { BigIntStats, Stats, StatsFs } from './stats.js';
import { makeStreams } from './streams.js';
import { TABLE } from './table.js';
import type { Vfs } from '../index.js';

/** Options of `nodeFs`. */
export interface NodeFsOptions {
  /**
   * How operations run. `auto` (default): `…Sync` without giving up the thread, the others asynchronously. `sync`: promises
   * and callbacks too run at once. `async`: `…Sync` is refused with ENOTSUP.
   *
   * A `…Sync` call fails with ENOTSUP on a device that is only asynchronous, and with EAGAIN on a lock that an
   * asynchronous call holds while it waits.
   */
  readonly runner?: RunnerKind;
  /** `Stats.dev`. Default: from the filesystem's uuid. */
  readonly dev?: number;
}

/** `fs.promises`. */
export interface PromisesFace extends PromiseFace {
  open(path: Path, flags?: string | number, mode?: string | number): Promise<FileHandle>;
  opendir(path: Path, options?: { encoding?: string; bufferSize?: number }): Promise<Dir>;
  watch(...args: unknown[]): never;
  readonly constants: typeof constants;
}

/** Node's `fs`, as far as an image has it. */
export interface NodeFs extends SyncFace, Omit<CallbackFace, 'realpath'> {
  readonly realpath: CallbackFace['realpath'];
  readonly promises: PromisesFace;
  readonly constants: typeof constants;
  readonly F_OK: number;
  readonly R_OK: number;
  readonly W_OK: number;
  readonly X_OK: number;
  readonly createReadStream: (typeof nodeFsModule)['createReadStream'];
  readonly createWriteStream: (typeof nodeFsModule)['createWriteStream'];
  readonly Stats: typeof Stats;
  readonly BigIntStats: typeof BigIntStats;
  readonly StatsFs: typeof StatsFs;
  readonly Dirent: typeof Dirent;
  readonly Dir: typeof Dir;
  /** Always ENOSYS: an image sends no events. */
  watch(...args: unknown[]): never;
  watchFile(...args: unknown[]): never;
  unwatchFile(...args: unknown[]): never;
  openAsBlob(...args: unknown[]): never;
}

const devOf = (uuid: Uint8Array): number => new DataView(uuid.buffer, uuid.byteOffset, uuid.byteLength).getUint32(0);

/** The promise API's `writeFile` takes streams and iterables as well: they are gathered first. */
async function gather(data: unknown, encoding: unknown): Promise<unknown> {
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) return data;
  if (!(Symbol.asyncIterator in data) && !(Symbol.iterator in data)) return data;
  const parts: Uint8Array[] = [];
  for await (const part of data as AsyncIterable<unknown>) parts.push(bytesOf(part, encoding));
  return Buffer.concat(parts);
}

/**
 * Node's `fs` over a mount: sync, callbacks, promises, streams.
 *
 * @throws FsError (from its functions) in the shape of Node's system errors; TypeError and RangeError with Node's codes for
 *   bad arguments
 */
export function nodeFs(vfs: Vfs, options: NodeFsOptions = {}): NodeFs {
  const kind = options.runner ?? 'auto';
  const ctx: Context = { vfs, dev: options.dev ?? devOf(vfs.fs.uuid), blockSize: vfs.fs.traits.blockSize };
  const runner = makeRunner(kind);
  const { sync, callback, promise } = deriveFaces(ctx, kind, runner);
  const streams = makeStreams(callback);
  const realpath = callback.realpath;
  const realpathSync = sync.realpathSync;
  Object.assign(realpath, { native: realpath });
  Object.assign(realpathSync, { native: realpathSync });
  const asHandle = (target: unknown): unknown => (target instanceof FileHandle ? target.fd : target);
  const whole = (name: 'writeFile' | 'appendFile') => async (target: Path, data: unknown, opts?: unknown): Promise<void> => {
    const encoding = typeof opts === 'string' ? opts : (opts as { encoding?: unknown } | undefined)?.encoding;
    const bytes = await gather(data, encoding);
    await runner.async(TABLE[name](ctx, asHandle(target) as Path, bytes, opts));
  };
  const readFile = promise.readFile as (target: unknown, opts?: unknown) => Promise<string | Buffer>;
  const promises = {
    ...promise,
    readFile: (target: unknown, opts?: unknown) => readFile(asHandle(target), opts),
    writeFile: whole('writeFile'),
    appendFile: whole('appendFile'),
    open: async (path: Path, flags?: string | number, mode?: string | number): Promise<FileHandle> =>
      new FileHandle(ctx, runner, streams, await runner.async(TABLE.open(ctx, path, flags, mode))),
    opendir: async (path: Path, opts?: object): Promise<Dir> =>
      new Dir(await runner.async(TABLE.opendir(ctx, path, opts)), runner),
    watch: () => unsupported('watch'),
    constants,
  };
  const own = {
    promises,
    constants,
    F_OK: constants.F_OK,
    R_OK: constants.R_OK,
    W_OK: constants.W_OK,
    X_OK: constants.X_OK,
    createReadStream: (path: unknown, opts?: unknown) => streams.read(path, opts),
    createWriteStream: (path: unknown, opts?: unknown) => streams.write(path, opts),
    Stats,
    BigIntStats,
    StatsFs,
    Dirent,
    Dir,
    watch: () => unsupported('watch'),
    watchFile: () => unsupported('watchFile'),
    unwatchFile: () => unsupported('unwatchFile'),
    openAsBlob: () => unsupported('openAsBlob'),
  };
  // The derived faces have Node's overloaded types by name; the implementations behind them are the table's.
  return { ...sync, ...callback, ...own } as unknown as NodeFs;
}
