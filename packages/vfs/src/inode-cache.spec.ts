/** Inodes in use while they are closed, evicted, failed to be written or numbered anew. */
import { FsError, runAsync, runSync, submit, submitBio, WaitQueue, type BioTarget, type Io } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, type Inode } from './index.js';
import { memoryFs, type MemoryFs } from './testing/index.js';

const slow: BioTarget = { synchronous: false, submit: () => new Promise((resolve) => setTimeout(() => resolve({ ok: true }), 2)) };

/** Every driver call waits for a device. */
const wait = (): Io<void> => submitBio(slow, { op: 'read', pos: 0, segments: [], lengthBytes: 0 });

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'ok';
};

/** Counts the inodes that are evicted while a task has their lock. */
function watchEvictions(fs: MemoryFs): { locked: number } {
  const seen = { locked: 0 };
  const evict = fs.evictInode.bind(fs);
  fs.evictInode = function* (inode) {
    if (inode.lock.readers > 0 || inode.lock.writeLocked) seen.locked++;
    yield* evict(inode);
  };
  return seen;
}

describe('an inode in use', () => {
  it.each(['read', 'write', 'ftruncate', 'fsync', 'fchmod', 'seek', 'fallocate', 'ffiemap'] as const)(
    'is not freed under a %s by a close',
    async (op) => {
      const fs = memoryFs({ wait, peeks: false });
      const seen = watchEvictions(fs);
      const vfs = createVfs(fs);
      const fd = await runAsync(vfs.open('/f', O_CREAT | O_RDWR));
      await runAsync(vfs.writeAll(fd, new Uint8Array(10_000), 0));
      await runAsync(vfs.unlink('/f'));
      const run: Record<typeof op, () => Io<unknown>> = {
        read: () => vfs.read(fd, new Uint8Array(10), 0),
        write: () => vfs.write(fd, new Uint8Array(10), 0),
        ftruncate: () => vfs.ftruncate(fd, 5),
        fsync: () => vfs.fsync(fd),
        fchmod: () => vfs.fchmod(fd, 0o600),
        seek: () => vfs.seek(fd, 0, 'data'),
        fallocate: () => vfs.fallocate(fd, {}, 0, 10),
        ffiemap: () => vfs.ffiemap(fd),
      };
      const pending = codeOf(runAsync(run[op]()));
      const closing = runAsync(vfs.close(fd));
      expect(await codeOf(runAsync(vfs.unmount()))).toBe('EBUSY');
      expect(await pending).toBe(op === 'fallocate' && fs.fallocate === undefined ? 'EOPNOTSUPP' : 'ok');
      await closing;
      await runAsync(vfs.reap());
      expect(seen.locked).toBe(0);
      expect([fs.inodeCount, fs.pageCount]).toEqual([1, 0]);
      await runAsync(vfs.unmount());
    },
  );

  it('is told of, not taken for a bug, when the image says that its number is free', () => {
    const fs = memoryFs();
    const vfs = createVfs(fs);
    runSync(vfs.close(runSync(vfs.open('/a', O_CREAT | O_RDWR))));
    const a = runSync(vfs.lookupAt(runSync(vfs.iget(fs.rootIno)), 'a'));
    fs.create = function* () {
      yield* [];
      return a;
    };
    expect(() => runSync(vfs.open('/b', O_CREAT | O_RDWR))).toThrow(/^EUCLEAN/);
  });

  it('may get its number from an eviction that has not ended', async () => {
    const fs = memoryFs();
    const vfs = createVfs(fs);
    const gate = new WaitQueue('gate');
    const evict = fs.evictInode.bind(fs);
    const freed: Inode[] = [];
    fs.evictInode = function* (inode) {
      yield* evict(inode);
      freed.push(inode);
      yield* submit({ kind: 'wait', queue: gate });
    };
    const create = fs.create.bind(fs);
    fs.create = function* (...args) {
      const made = yield* create(...args);
      const ino = freed[0]?.ino;
      return ino === undefined ? made : Object.assign(Object.create(made) as typeof made, { ino });
    };
    await runAsync(vfs.close(await runAsync(vfs.open('/a', O_CREAT | O_RDWR))));
    const removing = runAsync(vfs.unlink('/a'));
    const fd = await runAsync(vfs.open('/b', O_CREAT | O_RDWR));
    expect((await runAsync(vfs.fstat(fd))).ino).toBe(freed[0]?.ino);
    gate.wakeAll();
    await removing;
    expect((await runAsync(vfs.stat('/b'))).ino).toBe(freed[0]?.ino);
  });
});

describe('a write-back that fails', () => {
  const failing = (): { fs: MemoryFs; evicted: number[] } => {
    const fs = memoryFs();
    const evicted: number[] = [];
    const evict = fs.evictInode.bind(fs);
    let fails = true;
    fs.isEvictable = () => false;
    fs.evictInode = function* (inode) {
      if (fails && inode.ino !== fs.rootIno) {
        fails = false;
        throw new FsError('EIO');
      }
      evicted.push(inode.ino);
      yield* evict(inode);
    };
    return { fs, evicted };
  };

  it('is told by unmount, after everything else was written', () => {
    const { fs, evicted } = failing();
    let unmounted = false;
    const unmount = fs.unmount.bind(fs);
    fs.unmount = function* () {
      unmounted = true;
      yield* unmount();
    };
    const vfs = createVfs(fs);
    for (const name of ['a', 'b', 'c']) runSync(vfs.close(runSync(vfs.open(name, O_CREAT | O_RDWR))));
    expect(() => runSync(vfs.unmount())).toThrow(/^EIO/);
    expect(unmounted).toBe(true);
    expect(evicted).toHaveLength(3);
  });

  it('is told by the next sync when it happened to make room', () => {
    const vfs = createVfs(failing().fs, { inodesMax: 16 });
    for (let i = 0; i < 40; i++) runSync(vfs.close(runSync(vfs.open(`f${i}`, O_CREAT | O_RDWR))));
    expect(() => runSync(vfs.sync())).toThrow(/^EIO/);
    runSync(vfs.sync());
  });
});

describe('fsync', () => {
  it('tells a failed write-back once to each file that was open, and to none opened later', () => {
    const fs = memoryFs();
    let failures = 1;
    fs.fsync = function* () {
      yield* [];
      if (failures-- > 0) throw new FsError('EIO');
    };
    const vfs = createVfs(fs);
    const files = [vfs.open('/f', O_CREAT | O_RDWR), vfs.open('/f', O_RDWR)].map((io) => runSync(io));
    const failed = (fd: number): boolean => {
      try {
        runSync(vfs.fsync(fd));
        return false;
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO', syscall: 'fsync' });
        return true;
      }
    };
    expect(files.map(failed)).toEqual([true, true]);
    expect(files.map(failed)).toEqual([false, false]);
    expect(failed(runSync(vfs.open('/f', O_RDWR)))).toBe(false);
  });
});

describe('an unmounted mount', () => {
  it('takes no operation any more', () => {
    const vfs = createVfs(memoryFs());
    runSync(vfs.mkdir('/d'));
    runSync(vfs.unmount());
    const calls: Io<unknown>[] = [vfs.mkdir('/e'), vfs.stat('/'), vfs.sync()];
    for (const io of calls) {
      expect(() => runSync(io)).toThrow(/^ENODEV/);
    }
  });
});
