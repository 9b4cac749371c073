import { fixedEnv, FsError, runAsync, runSync, type Io } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import type { FileSystem } from '@iomap/vfs';
import { memoryFs } from '@iomap/vfs/testing';
import { describeFsTree } from './fs-tree.js';
import { PROFILES } from './generate.js';
import type { Op, Outcome, Subject } from './op.js';
import { vfsSubject, type VfsSubject } from './vfs-subject.js';
import { runWorkload, WorkloadFailure, type WorkloadHost } from './workload.js';

const seed = testSeed();

/** A host over the vfs's memory filesystem; `spoil` changes answers, to see that the harness notices. */
function memoryHost(options: { pagesMax?: number; spoil?: (op: Op, outcome: Outcome) => Outcome } = {}): WorkloadHost {
  const env = fixedEnv({ tickNs: 1000 });
  let fs: FileSystem;
  const mount = function* (): Io<FileSystem> {
    return fs;
  };
  return {
    *open(image): Io<Subject> {
      // Nothing is kept: a replay starts from the empty tree, so these tests stop at their first checkpoint.
      if (image !== undefined) return yield* vfsSubject({ name: 'memory', env, mount });
      fs = memoryFs(options.pagesMax === undefined ? {} : { pagesMax: options.pagesMax });
      const inner = yield* vfsSubject({ name: 'memory', env, mount });
      const { spoil } = options;
      if (spoil === undefined) return inner;
      return Object.assign(Object.create(inner) as VfsSubject, {
        *apply(op: Op): Io<Outcome> {
          return spoil(op, yield* inner.apply(op));
        },
      });
    },
    *settle(subject) {
      yield* (subject as VfsSubject).unmount();
      return { tree: yield* describeFsTree(fs), findings: [] };
    },
    save: () => 'memory',
  };
}

describe('the random workload', () => {
  const base = { ops: 4000, checkEvery: 1000, seed };

  it('agrees with the vfs over its memory filesystem, synchronously', () => {
    const report = runSync(runWorkload({ ...base, host: memoryHost(), profile: PROFILES.mixed }));
    expect(report.ops).toBe(4000);
    expect(report.checkpoints).toBe(4);
    expect([...report.tally.keys()].length).toBeGreaterThan(30);
  });

  it('agrees asynchronously, with many names', async () => {
    await runAsync(runWorkload({ ...base, host: memoryHost(), profile: PROFILES.names }));
  });

  it('agrees on a full filesystem', () => {
    const report = runSync(
      runWorkload({ ...base, ops: 6000, checkEvery: 2000, host: memoryHost({ pagesMax: 120 }), profile: PROFILES.full }),
    );
    expect(report.tally.get('write ENOSPC') ?? report.tally.get('hwrite ENOSPC') ?? 0).toBeGreaterThan(0);
  });

  it('notices a wrong answer and shrinks it to what is needed', () => {
    const spoil = (op: Op, outcome: Outcome): Outcome =>
      op.op === 'link' && outcome.code === 'ok' ? { code: 'EMLINK' } : outcome;
    const run = (): unknown => runSync(runWorkload({ ...base, host: memoryHost({ spoil }), profile: PROFILES.mixed }));
    expect(run).toThrow(WorkloadFailure);
    try {
      run();
    } catch (error) {
      const { ops, message } = error as WorkloadFailure;
      expect(message).toContain(`seed ${seed}`);
      expect(message).toContain('EMLINK');
      // A directory or two, what is linked, and the link.
      expect(ops.length).toBeLessThanOrEqual(20);
      expect(ops.at(-1)?.op).toBe('link');
    }
  });

  it('notices an error that is thrown, as a bug of the subject', () => {
    const spoil = (op: Op, outcome: Outcome): Outcome => {
      if (op.op === 'rmdir') throw new FsError('EIO');
      return outcome;
    };
    const run = (): unknown =>
      runSync(runWorkload({ ...base, host: memoryHost({ spoil }), profile: PROFILES.mixed, shrinkMs: 500 }));
    expect(run).toThrow(/EIO/);
  });
});
