import { AssertionError } from './assert.js';
import { Mutex, RwLock } from './lock.js';
import { LockOrder, lockOrder } from './lock-order.js';
import type { Io } from './request.js';
import { runAsync } from './run-async.js';
import { runSync } from './run-sync.js';
import { Scheduler } from './scheduler.js';
import { submit } from './submit.js';
import { WaitQueue } from './wait-queue.js';

/** Matches an error by its code. */
const withCode = (code: string): Error => expect.objectContaining({ code }) as Error;

/** Gives up the turn `times` times. */
function* turns(times: number): Io<void> {
  for (let i = 0; i < times; i++) {
    const queue = new WaitQueue('turn');
    void Promise.resolve().then(() => queue.wakeAll());
    yield* submit({ kind: 'wait', queue });
  }
}

describe('Mutex', () => {
  it('is taken and let go without a wait when it is free', () => {
    const lock = new Mutex('m');
    expect(lock.tryLock()).toBe(true);
    expect(lock.locked).toBe(true);
    expect(lock.tryLock()).toBe(false);
    lock.unlock();
    expect(lock.locked).toBe(false);
    expect(() => lock.unlock()).toThrow(AssertionError);
  });

  it('is EAGAIN under runSync when another task holds it, and leaves no waiter behind', () => {
    const lock = new Mutex('m');
    lock.tryLock();
    expect(() => runSync(lock.lock())).toThrow(withCode('EAGAIN'));
    expect(lock.waiting).toBe(0);
    lock.unlock();
    runSync(lock.lock());
    expect(lock.locked).toBe(true);
  });

  it('goes to the waiters in the order they came, one at a time', async () => {
    const lock = new Mutex('m');
    const order: number[] = [];
    let inside = 0;
    const task = function* (n: number): Io<void> {
      if (!lock.tryLock()) yield* lock.lock();
      try {
        expect(++inside).toBe(1);
        order.push(n);
        yield* turns(3);
        inside--;
      } finally {
        lock.unlock();
      }
    };
    await Promise.all([0, 1, 2, 3, 4].map((n) => runAsync(task(n))));
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(lock.locked).toBe(false);
  });

  it('is not lost when the task that it was handed to is cancelled before it runs', async () => {
    const lock = new Mutex('m');
    const got: string[] = [];
    const scheduler = new Scheduler();
    const take = function* (name: string): Io<void> {
      if (!lock.tryLock()) yield* lock.lock();
      got.push(name);
      lock.unlock();
    };
    lock.tryLock();
    const first = scheduler.spawn(take('first'));
    scheduler.spawn(take('second'));
    lock.unlock(); // handed to the first, which has not run yet
    first.cancel();
    await scheduler.idle();
    expect(got).toEqual(['second']);
    expect(lock.locked).toBe(false);
    expect(first.state).toBe('cancelled');
  });

  it('drops a waiter that is cancelled while it waits', async () => {
    const lock = new Mutex('m');
    const scheduler = new Scheduler();
    lock.tryLock();
    const task = scheduler.spawn(lock.lock());
    expect(lock.waiting).toBe(1);
    task.cancel();
    expect(lock.waiting).toBe(0);
    lock.unlock();
    await scheduler.idle();
    expect(lock.locked).toBe(false);
  });

  it('survives a bare return() on a parked generator that no runner knows of', () => {
    const lock = new Mutex('m');
    lock.tryLock();
    const io = lock.lock();
    io.next();
    io.return();
    expect(lock.waiting).toBe(0);
    lock.unlock();
    expect(lock.locked).toBe(false);
  });
});

describe('RwLock', () => {
  it('has many readers or one writer', () => {
    const lock = new RwLock('rw');
    expect(lock.tryRead()).toBe(true);
    expect(lock.tryRead()).toBe(true);
    expect(lock.readers).toBe(2);
    expect(lock.tryWrite()).toBe(false);
    lock.unlockRead();
    lock.unlockRead();
    expect(lock.tryWrite()).toBe(true);
    expect(lock.writeLocked).toBe(true);
    expect(lock.readers).toBe(0);
    expect(lock.tryRead()).toBe(false);
    expect(() => lock.unlockRead()).toThrow(AssertionError);
    lock.unlockWrite();
    expect(() => lock.unlockWrite()).toThrow(AssertionError);
  });

  it('lets no reader pass a waiting writer, and lets readers behind it in together', async () => {
    const lock = new RwLock('rw');
    const log: string[] = [];
    const reader = function* (name: string): Io<void> {
      if (!lock.tryRead()) yield* lock.read();
      log.push(`${name} with ${lock.readers}`);
      yield* turns(2);
      lock.unlockRead();
    };
    const writer = function* (): Io<void> {
      if (!lock.tryWrite()) yield* lock.write();
      log.push('writer');
      yield* turns(2);
      lock.unlockWrite();
    };
    await Promise.all([runAsync(reader('a')), runAsync(writer()), runAsync(reader('b')), runAsync(reader('c'))]);
    expect(log).toEqual(['a with 1', 'writer', 'b with 2', 'c with 2']);
    expect(lock.readers).toBe(0);
  });

  it('lets the readers in when the writer before them is cancelled', async () => {
    const lock = new RwLock('rw');
    const scheduler = new Scheduler();
    lock.tryRead();
    const writer = scheduler.spawn(lock.write());
    const reader = scheduler.spawn(lock.read());
    expect(lock.waiting).toBe(2);
    writer.cancel();
    await scheduler.idle();
    expect(reader.state).toBe('done');
    expect(lock.readers).toBe(2);
  });
});

describe('the lock-order check', () => {
  afterEach(() => (lockOrder.active = undefined));
  const nested = function* (outer: Mutex, inner: Mutex): Io<void> {
    yield* outer.lock();
    try {
      yield* inner.lock();
      inner.unlock();
    } finally {
      outer.unlock();
    }
  };

  it('throws on an inversion though nothing was contended, and not on the right order', async () => {
    lockOrder.active = new LockOrder();
    const inode = new Mutex('inode 2', 'inode');
    const folio = new Mutex('folio 0', 'folio');
    runSync(nested(inode, folio));
    expect(() => runSync(nested(folio, inode))).toThrow(/inode 2 \(inode\) is taken while folio 0 \(folio\) is held/);
    await runAsync(nested(inode, folio));
    await expect(runAsync(nested(folio, inode))).rejects.toThrow(AssertionError);
    expect(inode.locked || folio.locked).toBe(false);
  });

  it('lets equal ranks nest, throws on recursion, and trusts a try in any order', () => {
    lockOrder.active = new LockOrder();
    const a = new Mutex('a', 'inode');
    const b = new Mutex('b', 'inode');
    const folio = new Mutex('f', 'folio');
    runSync(nested(a, b));
    expect(() => runSync(nested(a, a))).toThrow(/taken twice/);
    runSync(
      (function* (): Io<void> {
        yield* folio.lock();
        expect(a.tryLock(true)).toBe(true);
        a.unlock();
        folio.unlock();
      })(),
    );
  });
});
