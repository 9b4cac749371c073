/**
 * Chooses how the command starts: from the bundle, one file where the modules are hundreds, while it is made of the modules as
 * they are; else from the modules. In an installed package there is nothing to compare with and nothing that changes.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

const INPUTS = new URL('./bundle-inputs.json', import.meta.url);
const BUNDLE = new URL('./command.bundle.js', import.meta.url);

type Command = typeof import('./command.js');

/** Whether the bundle is made of the modules that are there. */
function isFresh(): boolean {
  if (!existsSync(BUNDLE)) return false;
  if (!existsSync(INPUTS)) return true;
  const hash = createHash('sha1');
  try {
    const { files, sha1 } = JSON.parse(readFileSync(INPUTS, 'utf8')) as { files: string[]; sha1: string };
    for (const file of files) hash.update(readFileSync(new URL(file, INPUTS)));
    return hash.digest('hex') === sha1;
  } catch {
    return false;
  }
}

export async function loadCommand(): Promise<Command> {
  if (!isFresh()) return import('./command.js');
  return (await import(BUNDLE.href)) as Command;
}
