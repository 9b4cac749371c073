import { createHash } from 'node:crypto';
import { rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, scratch } from '../test/harness.js';
import { isFresh } from './bundle.js';

afterEach(cleanUp);

/** A folder as the bundler leaves it. */
function bundled(): string {
  const dir = scratch();
  for (const name of ['a.js', 'b.js']) writeFileSync(join(dir, name), `// ${name}`);
  writeFileSync(join(dir, 'command.bundle.js'), '');
  const files = ['a.js', 'b.js'].map((name) => [name, statSync(join(dir, name)).size, statSync(join(dir, name)).mtimeMs]);
  const sha1 = createHash('sha1').update('// a.js// b.js').digest('hex');
  writeFileSync(join(dir, 'bundle-inputs.json'), JSON.stringify({ files, sha1 }));
  return dir;
}

describe('the bundled command', () => {
  it('is taken while the modules are those it was made of', () => {
    const dir = bundled();
    expect(isFresh(dir)).toBe(true);
    utimesSync(join(dir, 'a.js'), 1, 1);
    expect(isFresh(dir)).toBe(true);
  });

  it('is left when a module has changed or gone', () => {
    const changed = bundled();
    writeFileSync(join(changed, 'b.js'), '// B.js');
    utimesSync(join(changed, 'b.js'), 1, 1);
    expect(isFresh(changed)).toBe(false);
    const gone = bundled();
    rmSync(join(gone, 'b.js'));
    expect(isFresh(gone)).toBe(false);
    const damaged = bundled();
    writeFileSync(join(damaged, 'bundle-inputs.json'), '{');
    expect(isFresh(damaged)).toBe(false);
  });

  it('is taken in an installed package, and left where there is none', () => {
    const dir = bundled();
    rmSync(join(dir, 'bundle-inputs.json'));
    expect(isFresh(dir)).toBe(true);
    rmSync(join(dir, 'command.bundle.js'));
    expect(isFresh(dir)).toBe(false);
  });
});
