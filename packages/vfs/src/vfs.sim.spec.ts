/** Many tasks on one mount in the simulator: any interleaving leaves a sound tree, no lock held, no reference lost. */
import { fixedEnv, FsError, IO_OK, runSync, SeededRandom, submitBio, type BioTarget, type Io } from '@iomap/io';
import { Simulator } from '@iomap/io/sim';
import { createVfs, isDirectory, O_APPEND, O_CREAT, O_EXCL, O_RDWR, RENAME_EXCHANGE, type Vfs } from './index.js';
import { memoryFs } from './testing/index.js';

const target: BioTarget = { synchronous: true, submit: () => IO_OK };

/** Makes every driver call wait once, so that tasks interleave there. */
const wait = (): Io<void> => submitBio(target, { op: 'read', pos: 0, segments: [], lengthBytes: 0 });

const NAMES = ['a', 'b', 'c'];

function* attempt(io: Io<unknown>, codes: Set<string>): Io<void> {
  try {
    yield* io;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    codes.add(error.code);
  }
}

function* worker(vfs: Vfs, random: SeededRandom, count: number, codes: Set<string>): Io<void> {
  const pick = (): string => NAMES[random.below(NAMES.length)] ?? 'a';
  const path = (): string => Array.from({ length: 1 + random.below(3) }, pick).join('/');
  for (let i = 0; i < count; i++) {
    const [p, q] = [path(), path()];
    switch (random.below(12)) {
      case 0:
      case 1:
        yield* attempt(vfs.mkdir(p), codes);
        break;
      case 2:
        yield* attempt(vfs.rmdir(p), codes);
        break;
      case 3:
        yield* attempt(vfs.unlink(p), codes);
        break;
      case 4:
      case 5:
        yield* attempt(vfs.rename(p, q), codes);
        break;
      case 6:
        yield* attempt(vfs.rename(p, q, RENAME_EXCHANGE), codes);
        break;
      case 7:
        yield* attempt(vfs.link(p, q), codes);
        break;
      case 8:
        yield* attempt(vfs.symlink(q, p), codes);
        break;
      case 9:
        yield* attempt(vfs.stat(p), codes);
        break;
      case 10:
        yield* attempt(vfs.dropCaches(), codes);
        break;
      default:
        yield* attempt(writeSome(vfs, p), codes);
    }
  }
}

function* writeSome(vfs: Vfs, path: string): Io<void> {
  const fd = yield* vfs.open(path, O_CREAT | O_RDWR | O_APPEND);
  yield* vfs.write(fd, new Uint8Array(10));
  yield* vfs.close(fd);
}

/** Walks the whole tree: link counts, types, '..' are what the entries say. Answers how many inodes it saw. */
function* checkTree(vfs: Vfs): Io<number> {
  const links = new Map<number, number>();
  const queue = [{ ino: vfs.fs.rootIno, parent: vfs.fs.rootIno }];
  const seen = new Set<number>([vfs.fs.rootIno]);
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    const { ino, parent } = at;
    const dir = yield* vfs.iget(ino);
    let subdirs = 0;
    yield* vfs.readdirAt(dir, 0, (name, child, type) => {
      if (name === '..') expect(child).toBe(parent);
      if (name === '.' || name === '..') return true;
      links.set(child, (links.get(child) ?? 0) + 1);
      if (type === 'directory') {
        subdirs++;
        expect(seen.has(child)).toBe(false);
        queue.push({ ino: child, parent: ino });
      }
      seen.add(child);
      return true;
    });
    expect(dir.nlink).toBe(2 + subdirs);
    vfs.iput(dir);
  }
  for (const [ino, count] of links) {
    const inode = yield* vfs.iget(ino);
    if (!isDirectory(inode.mode)) expect({ ino, nlink: inode.nlink }).toEqual({ ino, nlink: count });
    vfs.iput(inode);
  }
  return seen.size;
}

describe('vfs under the simulator', () => {
  it('keeps the tree sound whatever the interleaving', () => {
    const codes = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const fs = memoryFs({ wait, peeks: seed % 2 === 0 });
      const vfs = createVfs(fs, { env: fixedEnv(), inodesMax: seed % 3 === 0 ? 16 : 1000, dentriesMax: 16 });
      const simulator = new Simulator({ seed });
      for (let task = 0; task < 4; task++) simulator.spawn(worker(vfs, new SeededRandom(seed * 10 + task), 60, codes));
      simulator.run();
      const seen = runSync(checkTree(vfs));
      expect({ seed, inodes: fs.inodeCount }).toEqual({ seed, inodes: seen });
      for (const inode of vfs.core.inodes.values()) {
        const expected = inode.ino === fs.rootIno ? 1 : 0;
        expect({ seed, ino: inode.ino, refs: inode.refs, locked: inode.lock.writeLocked || inode.lock.readers > 0 }).toEqual({
          seed,
          ino: inode.ino,
          refs: expected,
          locked: false,
        });
      }
      expect(vfs.core.renameLock.locked).toBe(false);
      runSync(vfs.unmount());
    }
    // The run met what it is meant to meet.
    expect([...codes]).toEqual(expect.arrayContaining(['ENOENT', 'EEXIST', 'ENOTDIR', 'ENOTEMPTY', 'EINVAL', 'ELOOP', 'EPERM']));
    expect(codes.has('EUCLEAN')).toBe(false);
  });

  it('gives O_EXCL to one of many', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const vfs = createVfs(memoryFs({ wait }), { env: fixedEnv() });
      const simulator = new Simulator({ seed });
      let winners = 0;
      for (let task = 0; task < 5; task++) {
        simulator.spawn(
          (function* (): Io<void> {
            try {
              yield* vfs.close(yield* vfs.open('/f', O_CREAT | O_EXCL | O_RDWR));
              winners++;
            } catch (error) {
              expect(error).toMatchObject({ code: 'EEXIST' });
            }
          })(),
        );
      }
      simulator.run();
      expect({ seed, winners }).toEqual({ seed, winners: 1 });
    }
  });

  it('appends whole records', () => {
    const vfs = createVfs(memoryFs({ wait }), { env: fixedEnv() });
    const simulator = new Simulator({ seed: 7 });
    for (let task = 0; task < 5; task++) {
      simulator.spawn(
        (function* (): Io<void> {
          for (let i = 0; i < 20; i++) yield* writeSome(vfs, '/log');
        })(),
      );
    }
    simulator.run();
    expect(runSync(vfs.stat('/log')).size).toBe(1000);
  });
});
