/**
 * A file exerciser: random reads, writes, appends, truncates, punches, zeroings, mapped and direct I/O, syncs and reopenings of one
 * file, each answer compared with a byte array. A failure is shrunk and printed with its seed.
 *
 * - `runFsx(options)`: makes a subject, does `ops` operations from `seed`, checks everything at the end.
 * - A subject has what its filesystem has; what it lacks is not drawn.
 */
import { FsError, runSync, type Io } from '@iomap/io';
import { poolBytes } from './op.js';
import { random, type Random } from './random.js';
import { shrink } from './shrink.js';

/** One file of a filesystem, open. Positions and lengths are bytes. */
export interface FsxSubject {
  read(pos: number, bytes: Uint8Array): Io<number>;
  write(pos: number, bytes: Uint8Array): Io<number>;
  truncate(size: number): Io<void>;
  fsync(): Io<void>;
  size(): Io<number>;
  /** Closes, unmounts, mounts and opens again. */
  reopen(): Io<void>;
  /** At the end: what is wrong with the filesystem or with what it holds in memory. */
  check?(): Io<readonly string[]>;
  /** Writes back and drops what is cached of a range, without closing. */
  drop?(pos: number, len: number): Io<void>;
  punch?(pos: number, len: number): Io<void>;
  zero?(pos: number, len: number): Io<void>;
  /** Gives a range space; grows nothing. */
  allocate?(pos: number, len: number): Io<void>;
  mapRead?(pos: number, bytes: Uint8Array): Io<void>;
  /** A store inside the file's size. */
  mapWrite?(pos: number, bytes: Uint8Array): Io<void>;
  msync?(pos: number, len: number): Io<void>;
  /** `pos` and the length are multiples of `directAlign`. */
  directRead?(pos: number, bytes: Uint8Array): Io<number>;
  directWrite?(pos: number, bytes: Uint8Array): Io<number>;
  readonly directAlign?: number;
  /** `pos` is a multiple of the length, a power of two from `atomicMin` to `atomicMax`. */
  atomicWrite?(pos: number, bytes: Uint8Array): Io<number>;
  readonly atomicMin?: number;
  readonly atomicMax?: number;
  /** Makes a second file, which shares the blocks of this one and must not change with it. */
  clone?(): Io<void>;
  /** The second file, whole. */
  readClone?(bytes: Uint8Array): Io<number>;
  /** Gives this file blocks of its own. */
  unshare?(pos: number, len: number): Io<void>;
  /** First data or hole at or after `pos`; -1 where there is none. */
  seek?(pos: number, what: 'data' | 'hole'): Io<number>;
}

type Ranged = 'read' | 'mapRead' | 'directRead' | 'punch' | 'zero' | 'allocate' | 'msync' | 'drop' | 'unshare';
type Written = 'write' | 'append' | 'mapWrite' | 'directWrite' | 'atomicWrite';
type Bare = 'fsync' | 'reopen' | 'clone' | 'readClone';

/** Plain data: a log of these can be printed and replayed. `at`: where in the pool the bytes start. */
export type FsxOp =
  | { readonly op: Ranged; readonly pos: number; readonly len: number }
  | { readonly op: Written; readonly pos: number; readonly len: number; readonly at: number }
  | { readonly op: 'truncate'; readonly size: number }
  | { readonly op: 'seek'; readonly pos: number }
  | { readonly op: Bare };

export type FsxKind = FsxOp['op'];

/** How often each is drawn. */
export const FSX_WEIGHTS: Readonly<Record<FsxKind, number>> = Object.freeze({
  read: 20, write: 22, append: 6, truncate: 8, punch: 6, zero: 6, allocate: 2, mapRead: 6, mapWrite: 10, msync: 2,
  directRead: 6, directWrite: 8, atomicWrite: 3, fsync: 3, reopen: 0.5, drop: 3, clone: 1, readClone: 1, unshare: 1, seek: 3,
});

export interface FsxOptions {
  readonly name: string;
  /** Makes the subject, with an empty file; again for each try at shrinking. */
  readonly make: () => Io<FsxSubject>;
  readonly seed: number;
  readonly ops: number;
  /** The longest file. Default 256 KiB. */
  readonly maxBytes?: number;
  /** The longest operation. Default a quarter of that. */
  readonly opMaxBytes?: number;
  readonly weights?: Partial<Readonly<Record<FsxKind, number>>>;
  /** Milliseconds for shrinking. Default 20,000. */
  readonly shrinkMs?: number;
  /** How to repeat the run, for the message. */
  readonly replay?: string;
}

/** Runs of an exerciser one after another, for a long test. */
export interface FsxSliceOptions {
  /** Of the first run; each has the next. */
  readonly seed: number;
  readonly ops: number;
  /** Default 2000. */
  readonly perRun?: number;
  readonly note?: (done: number) => void;
  readonly stop?: () => boolean;
}

export interface FsxSliceResult {
  readonly done: number;
  /** How often each operation was done. */
  readonly tally: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly message: string; readonly seed: number }[];
}

/** Does `ops` operations in runs of `perRun`, up to the first that fails. @param run one of them, from its seed */
export function fsxSlice(options: FsxSliceOptions, run: (seed: number, ops: number) => Io<ReadonlyMap<FsxKind, number>>): FsxSliceResult {
  const perRun = options.perRun ?? 2000;
  const tally: Record<string, number> = {};
  let done = 0;
  for (let seed = options.seed; done < options.ops && options.stop?.() !== true; seed++) {
    const ops = Math.min(perRun, options.ops - done);
    try {
      for (const [kind, n] of runSync(run(seed, ops))) tally[kind] = (tally[kind] ?? 0) + n;
    } catch (error) {
      if (!(error instanceof FsxFailure)) throw error;
      return { done, tally, failures: [{ message: error.message, seed }] };
    }
    done += ops;
    options.note?.(done);
  }
  return { done, tally, failures: [] };
}

export class FsxFailure extends Error {
  override readonly name = 'FsxFailure';
  readonly ops: readonly FsxOp[];
  constructor(message: string, ops: readonly FsxOp[]) {
    super(message);
    this.ops = ops;
  }
}

/**
 * @returns how often each operation was done
 * @throws FsxFailure with the seed, the shrunk log and what differed
 */
export function* runFsx(options: FsxOptions): Io<ReadonlyMap<FsxKind, number>> {
  const maxBytes = options.maxBytes ?? 262_144;
  const log: FsxOp[] = [];
  const tally = new Map<FsxKind, number>();
  const run = new FsxRun(yield* options.make(), maxBytes);
  const draw = generator(options, run, maxBytes);
  let problem: string | undefined;
  while (log.length < options.ops && problem === undefined) {
    const op = draw();
    log.push(op);
    tally.set(op.op, (tally.get(op.op) ?? 0) + 1);
    problem = yield* run.step(op);
  }
  problem ??= yield* run.finish();
  if (problem === undefined) return tally;
  const wanted = kindOf(problem);
  const fails = function* (ops: readonly FsxOp[]): Io<boolean> {
    const found = yield* replayFsx(options.make, ops, maxBytes);
    return found !== undefined && kindOf(found) === wanted;
  };
  const small = yield* shrink(log, fails, options.shrinkMs ?? 20_000);
  const lines = small.slice(-60).map((op) => `  ${JSON.stringify(op)}`);
  throw new FsxFailure(
    `fsx ${options.name}, seed ${options.seed}: at operation ${log.length}: ${problem}\n` +
      `shrunk to ${small.length} operations:\n${lines.join('\n')}` +
      (options.replay === undefined ? '' : `\nrepeat with: ${options.replay}`),
    small,
  );
}

/** Does the operations of a log to a new subject; the problem, if there is one. */
export function* replayFsx(make: () => Io<FsxSubject>, ops: readonly FsxOp[], maxBytes = 262_144): Io<string | undefined> {
  const run = new FsxRun(yield* make(), maxBytes);
  for (const op of ops) {
    const problem = yield* run.step(op);
    if (problem !== undefined) return problem;
  }
  return yield* run.finish();
}

/** What of a problem stays when the log gets shorter. */
const kindOf = (problem: string): string => problem.replace(/\d+/g, '#').slice(0, 60);

/** A subject and its model. */
class FsxRun {
  size = 0;
  cloned = false;
  readonly subject: FsxSubject;
  readonly #model: Uint8Array;
  #clone = new Uint8Array(0);
  readonly #buffer: Uint8Array;

  constructor(subject: FsxSubject, maxBytes: number) {
    this.subject = subject;
    this.#model = new Uint8Array(maxBytes);
    this.#buffer = new Uint8Array(maxBytes);
  }

  /** Does one operation to both; what differs. */
  *step(op: FsxOp): Io<string | undefined> {
    try {
      const problem = yield* this.#apply(op);
      if (problem !== undefined) return `${JSON.stringify(op)}: ${problem}`;
      const size = yield* this.subject.size();
      return size === this.size ? undefined : `${JSON.stringify(op)}: the size is ${size}, not ${this.size}`;
    } catch (error) {
      const what = error instanceof FsError ? `${error.code} ${error.message}` : error instanceof Error ? (error.stack ?? error.message) : String(error);
      return `${JSON.stringify(op)}: threw ${what}`;
    }
  }

  /** The whole file, as it is, and after it was opened again. */
  *finish(): Io<string | undefined> {
    for (const op of [{ op: 'read', pos: 0, len: this.#model.length }, { op: 'readClone' }, { op: 'reopen' }, { op: 'read', pos: 0, len: this.#model.length }, { op: 'readClone' }] as const) {
      const problem = yield* this.step(op);
      if (problem !== undefined) return `at the end: ${problem}`;
    }
    const wrong = (yield* this.subject.check?.() ?? none()) ?? [];
    return wrong.length === 0 ? undefined : `at the end: ${wrong.join('; ')}`;
  }

  *#apply(op: FsxOp): Io<string | undefined> {
    const { subject } = this;
    switch (op.op) {
      case 'read':
        return yield* this.#read(op.pos, op.len, (pos, bytes) => subject.read(pos, bytes));
      case 'directRead':
        return yield* this.#read(op.pos, op.len, (pos, bytes) => subject.directRead?.(pos, bytes) ?? subject.read(pos, bytes));
      case 'mapRead': {
        const len = Math.min(op.len, this.size - op.pos);
        return len <= 0 ? undefined : yield* this.#read(op.pos, len, function* (pos, bytes) {
          yield* subject.mapRead?.(pos, bytes) ?? none();
          return bytes.length;
        });
      }
      case 'write':
      case 'append':
      case 'directWrite':
      case 'atomicWrite':
      case 'mapWrite':
        return yield* this.#write(op);
      case 'truncate':
        yield* subject.truncate(op.size);
        if (op.size < this.size) this.#model.fill(0, op.size, this.size);
        this.size = op.size;
        return undefined;
      case 'punch':
      case 'zero':
        yield* subject[op.op]?.(op.pos, op.len) ?? none();
        this.#model.fill(0, op.pos, Math.max(op.pos, Math.min(op.pos + op.len, this.size)));
        return undefined;
      case 'allocate':
      case 'msync':
      case 'drop':
      case 'unshare':
        yield* subject[op.op]?.(op.pos, op.len) ?? none();
        return undefined;
      case 'seek':
        return yield* this.#seek(op.pos);
      default:
        return yield* this.#bare(op.op);
    }
  }

  *#bare(op: Bare): Io<string | undefined> {
    const { subject } = this;
    if (op === 'fsync' || op === 'reopen') yield* subject[op]();
    else if (op === 'clone') {
      yield* subject.clone?.() ?? none();
      this.#clone = this.#model.slice(0, this.size);
      this.cloned = true;
    } else if (this.cloned && subject.readClone !== undefined) {
      const bytes = this.#buffer;
      const n = yield* subject.readClone(bytes);
      const differs = difference(bytes.subarray(0, n), this.#clone, 0);
      return differs === undefined ? undefined : `of the clone, ${differs}`;
    }
    return undefined;
  }

  *#read(pos: number, len: number, read: (pos: number, bytes: Uint8Array) => Io<number>): Io<string | undefined> {
    const bytes = this.#buffer.subarray(0, len).fill(0xee);
    const n = yield* read(pos, bytes);
    const past = bytes.subarray(n).findIndex((byte) => byte !== 0xee);
    if (past >= 0) return `changed byte ${past} of the buffer, past the ${n} bytes read`;
    return difference(bytes.subarray(0, n), this.#model.subarray(pos, Math.max(pos, Math.min(pos + len, this.size))), pos);
  }

  *#write(op: FsxOp & { readonly op: Written }): Io<string | undefined> {
    const { subject } = this;
    const bytes = poolBytes(op.at, op.len);
    if (op.op === 'mapWrite') {
      const len = Math.min(op.len, this.size - op.pos);
      if (len <= 0) return undefined;
      yield* subject.mapWrite?.(op.pos, bytes.subarray(0, len)) ?? none();
      this.#model.set(bytes.subarray(0, len), op.pos);
      return undefined;
    }
    const pos = op.op === 'append' ? this.size : op.pos;
    const len = Math.min(op.len, this.#model.length - pos);
    if (len <= 0) return undefined;
    const way = op.op === 'directWrite' || op.op === 'atomicWrite' ? op.op : 'write';
    const n = yield* subject[way]?.(pos, bytes.subarray(0, len)) ?? subject.write(pos, bytes.subarray(0, len));
    if (n !== len) return `wrote ${n} bytes`;
    this.#model.set(bytes.subarray(0, len), pos);
    this.size = Math.max(this.size, pos + len);
    return undefined;
  }

  /** What is not zero lies in data; a hole has none of it. */
  *#seek(pos: number): Io<string | undefined> {
    const { subject, size } = this;
    if (subject.seek === undefined || pos >= size) return undefined;
    const data = yield* subject.seek(pos, 'data');
    const end = data < 0 ? size : data;
    if (end < pos || end > size || isNonZero(this.#model.subarray(pos, end))) return `data at ${data}`;
    const hole = yield* subject.seek(pos, 'hole');
    return hole < pos || hole > size || (hole < size && isNonZero(this.#model.subarray(hole, hole + 1))) ? `a hole at ${hole}` : undefined;
  }
}

function* none(): Io<undefined> {
  return undefined;
}

const isNonZero = (bytes: Uint8Array): boolean => bytes.some((byte) => byte !== 0);

function difference(got: Uint8Array, want: Uint8Array, pos: number): string | undefined {
  if (got.length !== want.length) return `${got.length} bytes, not ${want.length}`;
  if (Buffer.compare(got, want) === 0) return undefined;
  const at = got.findIndex((byte, i) => byte !== want[i]);
  return `byte ${pos + at} is ${String(got[at])}, not ${String(want[at])}`;
}

/** Draws operations: positions near the end, at round places and anywhere; lengths short and long. */
function generator(options: FsxOptions, run: FsxRun, maxBytes: number): () => FsxOp {
  const rng = random(options.seed);
  const opMax = options.opMaxBytes ?? Math.floor(maxBytes / 4);
  const { subject } = run;
  const kinds: FsxKind[] = [];
  const bounds: number[] = [];
  let total = 0;
  for (const kind of Object.keys(FSX_WEIGHTS) as FsxKind[]) {
    const always = ['read', 'write', 'append', 'truncate', 'fsync', 'reopen'].includes(kind);
    if (!always && subject[kind as 'punch'] === undefined) continue;
    kinds.push(kind);
    bounds.push((total += options.weights?.[kind] ?? FSX_WEIGHTS[kind]));
  }
  return () => {
    const dice = rng.below(2 ** 20) * (total / 2 ** 20);
    const kind = kinds[bounds.findIndex((bound) => dice < bound)] ?? 'read';
    return drawOp(kind, rng, { subject, opMax, maxBytes, size: run.size });
  };
}

interface Drawing {
  readonly subject: FsxSubject;
  readonly opMax: number;
  readonly maxBytes: number;
  readonly size: number;
}

function drawOp(kind: FsxKind, rng: Random, by: Drawing): FsxOp {
  const { subject, opMax, maxBytes, size } = by;
  const around = rng.below(4);
  let pos = around === 0 ? Math.max(0, size - rng.below(Math.max(1, Math.min(size, 5000)))) : rng.below(around === 1 ? maxBytes : Math.max(1, size));
  if (rng.chance(0.25)) pos -= pos % 4096;
  pos = Math.min(pos, maxBytes - 1);
  let len = 1 + rng.below(rng.chance(0.5) ? Math.min(opMax, 5000) : opMax);
  if (rng.chance(0.25)) len = Math.max(1, len - ((pos + len) % 4096));
  len = Math.min(len, maxBytes - pos);
  const at = rng.below(900_000);
  switch (kind) {
    case 'truncate':
      return { op: kind, size: rng.chance(0.2) ? rng.below(maxBytes) : rng.chance(0.1) ? 0 : pos };
    case 'seek':
      return { op: kind, pos };
    case 'fsync':
    case 'reopen':
    case 'clone':
    case 'readClone':
      return { op: kind };
    case 'directRead':
    case 'directWrite': {
      const align = subject.directAlign ?? 512;
      pos -= pos % align;
      len = Math.max(align, Math.min(len - (len % align), maxBytes - pos - ((maxBytes - pos) % align)));
      return kind === 'directRead' ? { op: kind, pos, len } : { op: kind, pos, len, at };
    }
    case 'atomicWrite': {
      const least = subject.atomicMin ?? 4096;
      len = least;
      while (len < (subject.atomicMax ?? least) && rng.chance(0.6)) len *= 2;
      return { op: kind, pos: pos - (pos % len), len, at };
    }
    case 'write':
    case 'append':
    case 'mapWrite':
      return { op: kind, pos, len, at };
    default:
      return { op: kind, pos, len };
  }
}
