/**
 * The system's tar as the way onto the host for what Node cannot do there: extended attributes, ACLs, device nodes, times
 * to the nanosecond, owners. One process for a whole tree; it reads our archive from a pipe.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Context } from '../context.js';
import type { ByteSink } from '../tar/writer.js';

/** How the tar that is here is told to keep everything; undefined when none of a known kind is. */
export function tarArguments(context: Context): readonly string[] | undefined {
  const probe = spawnSync('tar', ['--version'], { encoding: 'utf8', env: { ...context.terminal.env, LC_ALL: 'C' } });
  if (probe.error !== undefined || probe.status !== 0) return undefined;
  if (probe.stdout.includes('GNU tar')) {
    // Old times and the records that are for bsdtar alone are no news.
    const quiet = ['--warning=no-timestamp', '--warning=no-unknown-keyword'];
    return ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls', '--delay-directory-restore', ...quiet];
  }
  if (probe.stdout.includes('bsdtar')) return ['-x', '-p', '--numeric-owner', '--xattrs', '--acls'];
  return undefined;
}

/**
 * Runs tar in `folder` and lets `produce` write an archive to it.
 * @returns tar's exit code; what it said has gone to standard error, one line each
 */
export async function pipeToTar(
  context: Context,
  args: readonly string[],
  folder: string,
  produce: (sink: ByteSink) => Promise<void>,
): Promise<number> {
  const child = spawn('tar', [...args, '-f', '-', '-C', folder], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...context.terminal.env, LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said += text;
    const lines = said.split('\n');
    said = lines.pop() ?? '';
    for (const line of lines) if (!line.includes('Exiting with failure status')) context.warn(line);
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  // A tar that dies early breaks the pipe: its exit code and its own words tell why.
  let broken = false;
  child.stdin.on('error', () => {
    broken = true;
  });
  const sink: ByteSink = (bytes) =>
    new Promise<void>((resolve) => {
      if (broken) resolve();
      else child.stdin.write(bytes, () => resolve());
    });
  try {
    await produce(sink);
  } finally {
    child.stdin.end();
  }
  const [code] = await closed;
  if (said !== '') context.warn(said);
  return code ?? 1;
}
