/** Runs cases in a folder: one driver.py, a line for each case. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Case } from './case.js';
import type { Answer } from './compare.js';

interface Line {
  readonly id: string;
  readonly results?: readonly Answer[];
  readonly broken?: string;
}

const TIME_LIMIT_MS = 240_000;

/**
 * Makes the calls of all cases below `folder`, each in a folder of its own.
 * @param other a folder of another filesystem
 * @returns the answers, by case
 * @throws Error when the driver breaks off or a case is not one
 */
export async function runCases(python: string, cases: readonly Case[], folder: string, other: string): Promise<Answer[][]> {
  const child = spawn(python, [join(__dirname, 'driver.py'), folder, other], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
    env: { ...process.env, LC_ALL: 'C.UTF-8', PYTHONUTF8: '0' },
  });
  let text = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (errors += part));
  child.stdin.on('error', () => undefined);
  child.stdin.end(
    cases.map(({ steps }, i) => `${JSON.stringify({ id: `c${i}`, steps: steps.map(({ user, call }) => [user, ...call]) })}\n`).join(''),
  );
  const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve(code ?? signal);
    });
  });
  const lines = text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
  const broken = lines.find((line) => line.broken !== undefined);
  if (broken !== undefined) {
    const one = cases[Number(broken.id.slice(1))];
    throw new Error(`${one?.group ?? ''}: ${one?.name ?? ''}: ${broken.broken ?? ''}`);
  }
  if (status !== 0 || lines.length !== cases.length) {
    throw new Error(`the driver ended with ${status ?? '?'} after ${lines.length} of ${cases.length} cases\n${errors}`);
  }
  return lines.map(({ results }) => [...(results ?? [])]);
}
