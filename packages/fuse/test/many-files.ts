/** Many small files through a mount, as fast as one program can: for what the server remembers of them. */
import { closeSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The budget of a server in all. */
export const PEAK_MAX_BYTES = 300_000_000;

const PER_FOLDER = 1000;

/** Makes `count` files with a few bytes each, then walks them with the status of each. @throws Error when any is missing */
export function makeAndWalk(root: string, count: number): void {
  const content = Buffer.from('a few bytes');
  for (let i = 0; i < count; i++) {
    const folder = join(root, String(Math.floor(i / PER_FOLDER)));
    if (i % PER_FOLDER === 0) mkdirSync(folder);
    const fd = openSync(join(folder, `file-${i}`), 'wx');
    writeSync(fd, content);
    closeSync(fd);
  }
  let found = 0;
  for (const folder of readdirSync(root)) {
    if (folder === 'lost+found') continue;
    for (const name of readdirSync(join(root, folder))) {
      if (statSync(join(root, folder, name)).size === content.length) found++;
    }
  }
  if (found !== count) throw new Error(`${found} of ${count} files found`);
}
