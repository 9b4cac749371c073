/**
 * Chooses how the command starts: from the bundle, one file where the modules are hundreds, while it is made of the modules as
 * they are; else from the modules. In an installed package there is nothing to compare with and nothing that changes.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const INPUTS = 'bundle-inputs.json';
const BUNDLE = 'command.bundle.js';

type Command = typeof import('./command.js');

/** What the bundle was made of, by tools/scripts/bundle.mjs. */
interface Inputs {
  /** Paths from here, with size and time of change as they were. */
  readonly files: readonly (readonly [path: string, sizeBytes: number, mtimeMs: number])[];
  /** Of their contents, one after another. */
  readonly sha1: string;
}

/** Whether the bundle in a folder is made of the modules that are there. */
export function isFresh(here: string): boolean {
  if (!existsSync(join(here, BUNDLE))) return false;
  if (!existsSync(join(here, INPUTS))) return true;
  try {
    const { files, sha1 } = JSON.parse(readFileSync(join(here, INPUTS), 'utf8')) as Inputs;
    const isSame = files.every(([path, sizeBytes, mtimeMs]) => {
      const stat = statSync(join(here, path));
      return stat.size === sizeBytes && stat.mtimeMs === mtimeMs;
    });
    if (isSame) return true;
    // Copied or built again: the content decides.
    const hash = createHash('sha1');
    for (const [path] of files) hash.update(readFileSync(join(here, path)));
    return hash.digest('hex') === sha1;
  } catch {
    return false;
  }
}

/** The command, the faster way that is right. */
export async function loadCommand(): Promise<Command> {
  const here = dirname(fileURLToPath(import.meta.url));
  if (!isFresh(here)) return import('./command.js');
  return (await import(pathToFileURL(join(here, BUNDLE)).href)) as Command;
}
