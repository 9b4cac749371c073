/**
 * How everything here is measured: whole child processes, contestants in turn (A B C, A B C, …) so that a drifting
 * machine hits all alike, one uncounted round first, and the median of the counted ones. The children of one case run
 * under the same Node with the same inputs; nothing is timed in this process.
 */
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';

export const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Runs a command to its end; wall seconds and what it printed. Throws with its stderr when it fails. */
export function run(command, args, options = {}) {
  const started = performance.now();
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  const seconds = (performance.now() - started) / 1000;
  if (done.error) throw done.error;
  if (done.status !== 0) {
    throw new Error(`${command} ${args.join(' ')} exited ${done.status ?? done.signal}: ${done.stderr.slice(-2000)}`);
  }
  return { seconds, stdout: done.stdout };
}

export const hasCommand = (name) =>
  spawnSync('sh', ['-c', `command -v ${name}`], { env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` } })
    .status === 0;

/**
 * Measures contestants in turn. Each is `{ name, before?, measure, after? }`; `measure` answers seconds.
 * @returns per name: every counted run and the median, in seconds
 */
export function inTurn(contestants, rounds, log) {
  const runs = new Map(contestants.map((one) => [one.name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const one of contestants) {
      one.before?.();
      let seconds;
      try {
        seconds = one.measure();
      } finally {
        one.after?.();
      }
      if (round >= 0) runs.get(one.name).push(seconds);
      log(`${one.name}: ${seconds.toFixed(3)} s${round < 0 ? ' (warm-up)' : ''}`);
    }
  }
  return Object.fromEntries([...runs].map(([name, seconds]) => [name, { seconds, median: median(seconds) }]));
}
