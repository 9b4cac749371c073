/** Walks a package's TypeScript sources. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of the `.ts` files under `folder`, sorted, relative to it; specs left out. */
export function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts'))
    .sort()
    .map((path) => join(folder, path));
}
