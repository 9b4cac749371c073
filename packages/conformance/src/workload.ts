/**
 * The random workload: operations from a seed are done to a subject and to the model, every answer is compared, and the
 * whole tree at checkpoints. A failure is shrunk to few operations and printed with its seed.
 *
 * It is Io, so that it runs under every runner. The subject's state at a checkpoint can be kept and gone back to
 * (`Checkpoint.restore`), so that shrinking a run of a million operations starts at its last checkpoint.
 */
import { FsError, type Io } from '@iomap/io';
import { OpGenerator, type Profile } from './generate.js';
import { Model } from './model.js';
import { sameOutcome, showByteDifference, showOutcome, type Op, type Outcome, type Subject } from './op.js';
import { shrink } from './shrink.js';
import { diffTrees, type Tree } from './tree.js';

/** What a subject that lives in an image can do at a checkpoint. */
export interface WorkloadHost {
  /** Starts, or starts again from an image kept by `save`. */
  open(image: unknown): Io<Subject>;
  /** Ends cleanly; the tree of what is there, and what the checks found wrong (empty = clean). */
  settle(subject: Subject, judge: boolean): Io<{ readonly tree: Tree; readonly findings: readonly string[] }>;
  /** What `open` takes, of the settled state. */
  save(): unknown;
}

export interface WorkloadOptions {
  readonly host: WorkloadHost;
  readonly profile: Profile;
  readonly seed: number;
  readonly ops: number;
  /** Operations between two checkpoints (settle, compare trees, check). Default 10,000. */
  readonly checkEvery?: number;
  /** Every how many checkpoints the real tools judge the image too. Default 1. */
  readonly judgeEvery?: number;
  /** Milliseconds for shrinking. Default 20,000. */
  readonly shrinkMs?: number;
  /** Called after each checkpoint. */
  readonly progress?: (done: number) => void;
  /** True: stop early at the next checkpoint. */
  readonly stop?: () => boolean;
  /** What the model starts with; default an empty tree. */
  readonly model?: Model;
  /** How to repeat the run, for the message. */
  readonly replay?: string;
}

export interface WorkloadReport {
  readonly seed: number;
  readonly ops: number;
  readonly checkpoints: number;
  /** How often each operation ended how: "write ok", "mkdir ENOSPC". */
  readonly tally: ReadonlyMap<string, number>;
}

/** A difference between a subject and the model. */
export class WorkloadFailure extends Error {
  override readonly name = 'WorkloadFailure';
  /** The shrunk sequence. */
  readonly ops: readonly Op[];
  constructor(message: string, ops: readonly Op[]) {
    super(message);
    this.ops = ops;
  }
}

/** Does `op` to the subject; what it throws that is not an FsError is a bug and becomes an outcome of its own. */
function* attempt(subject: Subject, op: Op): Io<Outcome> {
  try {
    return yield* subject.apply(op);
  } catch (error) {
    if (error instanceof FsError) return { code: `threw ${error.code}`, value: error.message };
    return { code: 'BUG', value: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** One step of the comparison: undefined when the answers agree. */
function* step(subject: Subject, model: Model, op: Op): Io<{ outcome: Outcome; problem: string | undefined }> {
  const outcome = yield* attempt(subject, op);
  const expected = model.apply(op, outcome);
  if (sameOutcome(expected, outcome)) return { outcome, problem: undefined };
  const problem =
    `${JSON.stringify(op)}\n  expected ${showOutcome(expected)}\n  found    ${showOutcome(outcome)}` +
    showByteDifference(expected, outcome);
  return { outcome, problem };
}

function* settle(host: WorkloadHost, subject: Subject, model: Model, judge: boolean): Io<string | undefined> {
  let settled: { readonly tree: Tree; readonly findings: readonly string[] };
  try {
    settled = yield* host.settle(subject, judge);
  } catch (error) {
    return `settling failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  model.apply({ op: 'remount' });
  if (settled.findings.length > 0) return `not clean:\n  ${settled.findings.slice(0, 20).join('\n  ')}`;
  const lines = diffTrees(model.toTree(), settled.tree, { times: [] });
  return lines.length > 0 ? `trees differ:\n  ${lines.join('\n  ')}` : undefined;
}

/** Runs `ops` from a kept state; the problem, if there is one. The model is the caller's to give away. */
function* replay(host: WorkloadHost, image: unknown, model: Model, ops: readonly Op[], judge: boolean): Io<string | undefined> {
  const subject = yield* host.open(image);
  for (const op of ops) {
    const { problem } = yield* step(subject, model, op);
    if (problem !== undefined) return problem;
  }
  return yield* settle(host, subject, model, judge);
}

/** What of a message stays the same when the sequence gets shorter. */
const signature = (problem: string): string => {
  const kind = /"op":"(\w+)"/.exec(problem)?.[1] ?? '';
  const first = problem.startsWith('{') ? '' : (problem.split('\n')[0] ?? '').slice(0, 40);
  const found = /found {4}(\S+( threw \S+)?)/.exec(problem)?.[1] ?? '';
  return `${kind} ${first} ${found}`;
};

/**
 * Runs the workload.
 * @throws WorkloadFailure with the seed, the shrunk operations and what differed
 */
export function* runWorkload(options: WorkloadOptions): Io<WorkloadReport> {
  const { host, profile, seed } = options;
  const checkEvery = options.checkEvery ?? 10_000;
  const model = options.model ?? modelOf(profile);
  const tally = new Map<string, number>();
  let subject = yield* host.open(undefined);
  // The empty start is a state that shrinking can go back to.
  let image: unknown = undefined;
  let kept = model.clone();
  let since: Op[] = [];
  const generator = new OpGenerator(seed, profile, model, subject.lacks);
  let done = 0;
  let checkpoints = 0;
  let problem: string | undefined;
  let judge = false;
  while (done < options.ops && problem === undefined && options.stop?.() !== true) {
    const op = generator.next();
    since.push(op);
    const stepped = yield* step(subject, model, op);
    const key = `${op.op} ${stepped.outcome.code}`;
    tally.set(key, (tally.get(key) ?? 0) + 1);
    problem = stepped.problem;
    if (profile.full) steerFull(generator, model, stepped.outcome);
    done++;
    if (problem === undefined && (done % checkEvery === 0 || done === options.ops)) {
      checkpoints++;
      judge = checkpoints % (options.judgeEvery ?? 1) === 0 || done === options.ops;
      problem = yield* settle(host, subject, model, judge);
      if (problem !== undefined) break;
      image = host.save();
      kept = model.clone();
      since = [];
      options.progress?.(done);
      if (done < options.ops) subject = yield* host.open(image);
    }
  }
  if (problem === undefined) return { seed, ops: done, checkpoints, tally };
  const wanted = signature(problem);
  const small = yield* shrink(
    since,
    function* (ops) {
      const found = yield* replay(host, image, kept.clone(), ops, judge);
      return found !== undefined && signature(found) === wanted;
    },
    options.shrinkMs ?? 20_000,
  );
  const lines = small.slice(-60).map((op) => `  ${JSON.stringify(op)}`);
  const after = image === undefined ? 'from the empty image' : `after the checkpoint at ${done - (done % checkEvery)}`;
  throw new WorkloadFailure(
    `workload ${profile.name}, seed ${seed}: at operation ${done}: ${problem}\n` +
      `shrunk to ${small.length} operations ${after}:\n${lines.join('\n')}` +
      (options.replay === undefined ? '' : `\nrepeat with: ${options.replay}`),
    small,
  );
}

/** The model of an empty tree that the profile's operations start with. */
export function modelOf(profile: Profile): Model {
  const { full, nameMax, limits } = profile;
  return new Model({ full, nameMax, ...(limits === undefined ? {} : { limits }) });
}

/** Fills until the first refusals, then empties by about half, and again. */
function steerFull(generator: OpGenerator, model: Model, outcome: Outcome): void {
  const names = model.lists.file.length + model.lists.symlink.length + model.lists.special.length;
  if (outcome.code === 'ENOSPC') generator.noteFull(names);
  else generator.noteNames(names);
}
