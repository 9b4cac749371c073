/** The package's version, from its package.json. */
import { createRequire } from 'node:module';

export function packageVersion(): string {
  const found: unknown = createRequire(import.meta.url)('../package.json');
  return typeof found === 'object' && found !== null && 'version' in found && typeof found.version === 'string' ? found.version : '0';
}
