/**
 * A batch of ioends on their way to the device, and what completes them where completion may wait.
 *
 * I1: every ioend that was added ends: by its bio, or by `abort`. I2: ioends whose filesystem has `finishIoend` are completed by one
 * task per flush, sorted and merged, in batches of what has ended meanwhile; their folios are under writeback until then.
 */
import { submitMergedDetached } from '@iomap/block-device';
import { FsError, spawn, submit, WaitQueue, type BioRequest, type Io } from '@iomap/io';
import type { IoendInfo, IomapInode } from './iomap.js';
import type { Ioend } from './ioend.js';

/** Bytes that are put together before they are sent as one batch. */
const BATCH_BYTES = 16 * 1024 * 1024;
/** Bytes that one `finishIoend` hears of at most: completion must not stall everything else. */
const FINISH_BYTES_MAX = 16 * 1024 * 1024;

/** Ioends, of one file or of many, that are put together and sent at once. */
export class WritebackBatch {
  #ready: BioRequest[] = [];
  #bytes = 0;
  #completion: Completion | undefined;

  constructor() {
    this.#completion = undefined;
  }

  /** True when it is time to `flush`. */
  get full(): boolean {
    return this.#bytes >= BATCH_BYTES;
  }

  add<I extends IomapInode>(ioend: Ioend<I>): void {
    if (ioend.ops.finishIoend !== undefined) {
      if (this.#completion === undefined || this.#completion.ended) this.#completion = new Completion();
      this.#completion.add(ioend);
    }
    this.#ready.push(ioend.request());
    this.#bytes += ioend.bytes;
  }

  /** Sends what was put together, neighbours on the device as one; does not wait for it. */
  *flush(): Io<void> {
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    this.#bytes = 0;
    const completion = this.#completion;
    // One whose task still runs takes these, too.
    if (completion === undefined || completion.running) {
      yield* submitMergedDetached(ready);
      return;
    }
    let handedOver = false;
    try {
      yield* submitMergedDetached(ready);
      completion.running = true;
      yield* spawn(completion.run(), 'ioend completion');
      handedOver = true;
    } finally {
      if (!handedOver) completion.abandon();
    }
  }

  /** Gives up what was not sent: it is dirty again. Plain, for `finally`. */
  abort(): void {
    const ready = this.#ready;
    this.#ready = [];
    this.#bytes = 0;
    if (this.#completion?.running === false) this.#completion.abandon();
    this.#completion = undefined;
    for (const request of ready) request.end?.({ ok: false, error: new FsError('ECANCELED') });
  }
}

/** The ioends of one batch that are completed in a task. */
class Completion {
  #pending = 0;
  /** There is a task for it, which has not ended. */
  running = false;
  /** The task has ended, or will never run: nothing more is taken. */
  ended = false;
  #ended: Finisher[] = [];
  readonly #queue = new WaitQueue('ioend completion');

  add<I extends IomapInode>(ioend: Ioend<I>): void {
    this.#pending++;
    ioend.collect = () => {
      this.#pending--;
      this.#ended.push(new MergedIoend(ioend));
      if (this.ended) this.abandon();
      else this.#queue.wakeAll();
    };
  }

  /** The task: completes what has ended, until all has. */
  *run(): Io<void> {
    try {
      while (this.#pending > 0 || this.#ended.length > 0) {
        if (this.#ended.length === 0) yield* submit({ kind: 'wait', queue: this.#queue });
        else yield* this.#round();
      }
    } finally {
      this.abandon();
    }
  }

  /** Nobody runs the task (any more): what was written and not completed counts as not written, and is dirty again. */
  abandon(): void {
    this.running = false;
    this.ended = true;
    const ended = this.#ended;
    this.#ended = [];
    for (const one of ended) one.giveUp();
  }

  *#round(): Io<void> {
    const ended = this.#ended.sort((a, b) => a.ino - b.ino || a.pos - b.pos); // guard: ioends-sorted (pitfall 18)
    this.#ended = [];
    try {
      for (let first = ended.shift(); first !== undefined; first = ended.shift()) {
        while (ended[0] !== undefined && first.merge(ended[0])) ended.shift();
        yield* first.finish();
      }
    } finally {
      this.#ended.push(...ended);
    }
  }
}

/** One call of `finishIoend`: an ioend and those that follow on it. */
interface Finisher {
  readonly ino: number;
  readonly pos: number;
  merge(next: Finisher): boolean;
  finish(): Io<void>;
  giveUp(): void;
}

class MergedIoend<I extends IomapInode> implements Finisher {
  readonly members: Ioend<I>[];
  #end: number;

  constructor(first: Ioend<I>) {
    this.members = [first];
    this.#end = first.end;
  }

  get first(): Ioend<I> {
    return this.members[0] as Ioend<I>;
  }

  get ino(): number {
    return this.first.inode.ino;
  }

  get pos(): number {
    return this.first.pos;
  }

  merge(next: Finisher): boolean {
    if (!(next instanceof MergedIoend)) return false;
    const other = (next as MergedIoend<I>).first;
    const { first } = this;
    const alike = (other.inode as unknown) === first.inode && other.type === first.type && other.flags === first.flags &&
      other.error === undefined && first.error === undefined && first.group === undefined && other.group === undefined;
    if (!alike || other.pos !== this.#end || other.end - first.pos > FINISH_BYTES_MAX) return false;
    this.members.push(other);
    this.#end = other.end;
    return true;
  }

  *finish(): Io<void> {
    const { first } = this;
    let { error } = first;
    let over = false;
    try {
      if (error === undefined && first.tells) yield* this.#tell();
      over = true;
    } catch (caught) {
      if (!(caught instanceof FsError)) throw caught;
      error = caught;
      over = true;
    } finally {
      if (!over) error = new FsError('ECANCELED');
      for (const one of this.members) one.complete(error);
    }
  }

  *#tell(): Io<void> {
    const { first } = this;
    const { pos, type, flags, addr, atomic } = first;
    const info: IoendInfo = { pos, end: this.#end, type, flags, addr, atomic, private: first.private };
    first.ops.endIoend?.(first.inode, info);
    if (first.ops.finishIoend !== undefined) yield* first.ops.finishIoend(first.inode, info);
  }

  giveUp(): void {
    for (const one of this.members) one.complete(one.error ?? new FsError('ECANCELED'));
  }
}
