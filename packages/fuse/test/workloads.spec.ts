/**
 * Real programs on a mounted image, in their short form (`npm run soak -- MINUTES --only programs` has the long one): all
 * succeed, e2fsck finds nothing, the kernel's own driver sees the same; and again with the server killed in the middle.
 */
import { provideCommand } from '@iomap/conformance';
import { Bench, describeMounted } from './harness.js';
import { runAndKill, runToEnd } from './run-workload.js';
import { WORKLOADS, type Workload } from './workloads.js';

/** Skipped without its programs, but in CI, where it fails. */
const itRuns = ({ tools }: Workload): typeof it => {
  const hasAll = tools.every(([command, packageName]) => provideCommand(command, packageName) !== undefined);
  return hasAll || process.env['CI'] === 'true' ? it : it.skip;
};

describeMounted('programs on a mounted image', () => {
  let bench: Bench;
  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => {
    bench.dispose();
  });
  afterEach(() => {
    bench.release();
  });

  for (const workload of WORKLOADS) {
    itRuns(workload)(
      workload.name,
      async () => {
        await runToEnd(bench, workload, { long: false });
      },
      120_000,
    );
  }

  for (const workload of WORKLOADS.filter(({ name }) => /^(tar|sqlite3|dbench)/.test(name))) {
    itRuns(workload)(`with an asynchronous device: ${workload.name}`, async () => {
      await runToEnd(bench, workload, { long: false, options: 'async_device' });
    });
  }

  WORKLOADS.forEach((workload, at) => {
    itRuns(workload)(
      `the server killed in the middle of: ${workload.name}`,
      async () => {
        // A different moment for each; the soak tries many.
        const files = await runAndKill(bench, workload, { long: false, afterMs: 100 + at * 70, seed: at });
        expect(files).toBeGreaterThan(0);
      },
      60_000,
    );
  });
});
