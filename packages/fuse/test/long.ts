/**
 * The long runs of a mounted image, for `npm run soak -- MINUTES --only programs,files`: a line of JSON for each step.
 *
 * - `programs`: every workload in its long form to its end; then kills at changing moments until the time is over.
 * - `files`: a million files made and walked through the mount; the server's peak of memory.
 */
import { provideCommand } from '@iomap/conformance';
import { readFileSync } from 'node:fs';
import { makeAndWalk, PEAK_MAX_BYTES } from './many-files.js';
import { Bench } from './harness.js';
import { runAndKill, runToEnd } from './run-workload.js';
import { WORKLOADS } from './workloads.js';

const [kind = '', minutes = '10', seedText = '1', only = ''] = process.argv.slice(2);
const until = Date.now() + Number(minutes) * 60_000;
let seed = Number(seedText);

interface Step {
  readonly what: string;
  readonly seconds: number;
  readonly error?: string;
  readonly [fact: string]: unknown;
}

const tell = (step: Step): void => {
  process.stdout.write(`${JSON.stringify(step)}\n`);
};

async function step(what: string, body: () => Promise<Record<string, unknown>>): Promise<void> {
  const started = Date.now();
  const seconds = (): number => Math.round((Date.now() - started) / 100) / 10;
  try {
    const facts = await body();
    tell({ what, seconds: seconds(), ...facts });
  } catch (error) {
    tell({ what, seconds: seconds(), error: error instanceof Error ? error.message.slice(-4000) : String(error) });
  }
}

const chosen = WORKLOADS.filter(({ name }) => name.startsWith(only));

async function programs(bench: Bench): Promise<void> {
  for (const { tools } of chosen) for (const [command, packageName] of tools) provideCommand(command, packageName);
  for (const workload of chosen) {
    if (Date.now() > until) return;
    await step(workload.name, async () => {
      await runToEnd(bench, workload, { long: true });
      return {};
    });
  }
  for (let round = 0; Date.now() < until; round++, seed++) {
    const workload = chosen[round % chosen.length];
    if (workload === undefined) return;
    const afterMs = 50 + ((seed * 7919) % 3000);
    await step(`killed after ${afterMs} ms: ${workload.name}`, async () => ({
      seed,
      fsynced: await runAndKill(bench, workload, { long: false, afterMs, seed }),
    }));
  }
}

async function files(bench: Bench): Promise<void> {
  await step('a million files made and walked', async () => {
    const count = 1_000_000;
    bench.format(6000, '-N 1100000 -I 128 -b 4096');
    const server = await bench.mount();
    makeAndWalk(bench.mnt, count);
    const status = readFileSync(`/proc/${server.pid}/status`, 'latin1');
    const peakBytes = Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) * 1024;
    await bench.unmount();
    bench.check();
    if (peakBytes > PEAK_MAX_BYTES) throw new Error(`peak memory of the server: ${peakBytes} bytes`);
    return { files: count, peakMB: Math.round(peakBytes / 1e6) };
  });
}

const bench = new Bench();
try {
  await (kind === 'files' ? files(bench) : programs(bench));
} finally {
  bench.dispose();
}
