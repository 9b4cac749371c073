/** The long runs on a mounted image: a program of their own (packages/fuse/test/long.ts), which says one line of JSON a step. */
import { buildSync } from 'esbuild';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** What `--only` may name. */
export const MOUNTED_KINDS = ['programs', 'files'];

/**
 * Runs a kind for `minutes` (a step that has begun is brought to its end).
 * @param say called with each step: `{ what, seconds, error? }`
 * @returns all steps
 */
export async function runMounted({ root, out, kind, minutes, seed, workload }, say) {
  const program = path.join(out, 'mounted.mjs');
  const folder = path.join(root, 'packages/fuse/test');
  buildSync({
    entryPoints: [path.join(folder, 'long.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    conditions: ['@iomap/source'],
    external: ['esbuild'],
    define: { __dirname: JSON.stringify(folder) },
    banner: { js: "import { createRequire as iomapRequire } from 'node:module'; const require = iomapRequire(import.meta.url);" },
  });
  const child = spawn(process.execPath, [program, kind, String(minutes), String(seed), workload ?? ''], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const steps = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const step = JSON.parse(line);
    steps.push(step);
    say(step);
  }
  const how = await ended;
  if (how !== 0) steps.push({ what: `the program of ${kind}`, seconds: 0, error: `ended with ${how}` });
  return steps;
}
