/**
 * The faces of the table: each operation once, as sync, callback and promise. By mapped types and by loops over the table,
 * so that no method is written twice.
 *
 * Where Node's own `fs` has the name, its (overloaded) type is the face's: callers see exactly Node's signatures.
 */
import type * as nodeFs from 'node:fs';
import type * as nodePromises from 'node:fs/promises';
import { FsError, runAsync, runSync, type Io } from '@iomap/io';
import { MISS, type Context } from './context.js';
import { Dir, OpenDir } from './dir.js';
import { invalidType } from './errors.js';
import { readTransfer } from './file-ops.js';
import { PEEKS, TABLE, type Table } from './table.js';

type NodeFsModule = typeof nodeFs;
type NodePromises = typeof nodePromises;

type Tail<F> = F extends (ctx: Context, ...args: infer A) => Io<infer R> ? { args: A; result: R } : never;

/** `statSync`, `readFileSync`, … */
export type SyncFace = {
  readonly [K in keyof Table & string as `${K}Sync`]: `${K}Sync` extends keyof NodeFsModule
    ? NodeFsModule[`${K}Sync`]
    : (...args: Tail<Table[K]>['args']) => Tail<Table[K]>['result'];
};

/** `stat(path, callback)`, … */
export type CallbackFace = {
  readonly [K in keyof Table & string]: K extends keyof NodeFsModule ? NodeFsModule[K] : never;
};

/** Operations on descriptors and `exists` have no promise form in Node. */
type PromiseName = Exclude<keyof Table & keyof NodePromises, 'open' | 'opendir'>;

/** `promises.stat(path)`, … */
export type PromiseFace = { readonly [K in PromiseName]: NodePromises[K] };

/** How Io is run. `sync` never gives up the thread; `async` lets other tasks run while a device works. */
export interface Runner {
  sync<T>(io: Io<T>): T;
  async<T>(io: Io<T>): Promise<T>;
}

export type RunnerKind = 'sync' | 'async' | 'auto';

/** `sync`: promises too run at once. `async`: the sync face is refused. `auto`: each face in its own way. */
export function makeRunner(kind: RunnerKind): Runner {
  return {
    sync<T>(io: Io<T>): T {
      if (kind === 'async') throw new FsError('ENOTSUP', { why: 'this facade is asynchronous only' });
      return runSync(io);
    },
    // eslint-disable-next-line @typescript-eslint/require-await -- a failure must be a rejection
    async: kind === 'sync' ? async <T>(io: Io<T>): Promise<T> => runSync(io) : runAsync,
  };
}

type Op = (ctx: Context, ...args: unknown[]) => Io<unknown>;
type Peek = (ctx: Context, a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => unknown;

const OPS = Object.entries(TABLE) as unknown as readonly [string, Op][];
const PEEK_OF = PEEKS as unknown as Readonly<Record<string, Peek | undefined>>;

/** What the caller gets of an operation's result: an open directory becomes a `Dir`, which knows its runner. */
const finish = (value: unknown, runner: Runner): unknown => (value instanceof OpenDir ? new Dir(value, runner) : value);

function syncOf(ctx: Context, runner: Runner, kind: RunnerKind, op: Op, peek: Peek | undefined) {
  // Five named parameters instead of rest: no call of Node's takes more, and the hot ones must not allocate.
  if (peek === undefined || kind === 'async') {
    return (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown): unknown =>
      finish(runner.sync(op(ctx, a, b, c, d, e)), runner);
  }
  return (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown): unknown => {
    const hit = peek(ctx, a, b, c, d, e);
    return hit === MISS ? finish(runSync(op(ctx, a, b, c, d, e)), runner) : hit;
  };
}

/** Callbacks of these get the buffers as a third argument. */
const WITH_BUFFER = new Set(['read', 'write', 'readv', 'writev']);

type Callback = (error: unknown, ...results: unknown[]) => void;

function callbackOf(ctx: Context, runner: Runner, name: string, op: Op) {
  return (...args: unknown[]): void => {
    const given = args.findLastIndex((arg) => arg !== undefined);
    const callback = args[given] as Callback;
    if (typeof callback !== 'function') throw invalidType('cb', 'of type function', callback);
    const rest = args.slice(0, given);
    if (name === 'exists') {
      runner.async(op(ctx, ...rest)).then(
        (is) => process.nextTick(callback, is),
        () => process.nextTick(callback, false),
      );
      return;
    }
    if (name === 'read' && !ArrayBuffer.isView(rest[1])) rest[1] = withBuffer(rest[1]);
    const buffer = ArrayBuffer.isView(rest[1]) || Array.isArray(rest[1]) || typeof rest[1] === 'string' ? rest[1] : bufferIn(rest[1]);
    runner.async(op(ctx, ...rest)).then(
      (value) => {
        const result = finish(value, runner);
        if (WITH_BUFFER.has(name)) process.nextTick(callback, null, result, buffer);
        else if (result === undefined) process.nextTick(callback, null);
        else process.nextTick(callback, null, result);
      },
      (error: unknown) => process.nextTick(callback, error),
    );
  };
}

/** The options form of `read`, with the buffer it will use, so that the callback can be given it. */
const withBuffer = (options: unknown): unknown => ({ ...(options as object), buffer: readTransfer(options).buffer });
const bufferIn = (options: unknown): unknown => (options as { buffer?: unknown } | undefined)?.buffer;

function promiseOf(ctx: Context, runner: Runner, op: Op, peek: Peek | undefined) {
  return async (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown): Promise<unknown> => {
    const hit = peek === undefined ? MISS : peek(ctx, a, b, c, d, e);
    return hit === MISS ? finish(await runner.async(op(ctx, a, b, c, d, e)), runner) : hit;
  };
}

/** All of the table's sync, callback and promise functions over one mount. */
export function deriveFaces(
  ctx: Context,
  kind: RunnerKind,
  runner: Runner,
): { readonly sync: SyncFace; readonly callback: CallbackFace; readonly promise: PromiseFace } {
  const sync: Record<string, unknown> = {};
  const callback: Record<string, unknown> = {};
  const promise: Record<string, unknown> = {};
  for (const [name, op] of OPS) {
    const peek = PEEK_OF[name];
    sync[`${name}Sync`] = syncOf(ctx, runner, kind, op, peek);
    callback[name] = callbackOf(ctx, runner, name, op);
    promise[name] = promiseOf(ctx, runner, op, peek);
  }
  // Built from the table by name, which the mapped types say of the type.
  return { sync, callback, promise } as unknown as ReturnType<typeof deriveFaces>;
}
