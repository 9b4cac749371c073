/** Libraries that take an `fs`, on the facade: isomorphic-git and unionfs. */
import { createRequire } from 'node:module';
import { createVfs } from '../index.js';
import { memoryFs } from '../testing/index.js';
import { nodeFs, type NodeFs } from './index.js';

const require = createRequire(__filename);
 
const git = require('isomorphic-git') as typeof import('isomorphic-git');
 
const { Union } = require('unionfs') as typeof import('unionfs');

const make = (): NodeFs => nodeFs(createVfs(memoryFs()));

describe('libraries on the facade', () => {
  it('isomorphic-git: init, add, commit, log, checkout', async () => {
    const fs = make();
    const dir = '/repo';
    fs.mkdirSync(dir);
    await git.init({ fs, dir, defaultBranch: 'main' });
    fs.writeFileSync('/repo/a.txt', 'one');
    fs.mkdirSync('/repo/sub');
    fs.writeFileSync('/repo/sub/b.txt', 'two');
    fs.symlinkSync('a.txt', '/repo/link');
    await git.add({ fs, dir, filepath: ['a.txt', 'sub/b.txt', 'link'] });
    const author = { name: 'A', email: 'a@example.org', timestamp: 1, timezoneOffset: 0 };
    const first = await git.commit({ fs, dir, message: 'first', author });
    fs.writeFileSync('/repo/a.txt', 'changed');
    await git.add({ fs, dir, filepath: 'a.txt' });
    await git.commit({ fs, dir, message: 'second', author });
    expect((await git.log({ fs, dir })).map((entry) => entry.commit.message)).toEqual(['second\n', 'first\n']);
    await git.checkout({ fs, dir, ref: first, force: true });
    expect(fs.readFileSync('/repo/a.txt', 'utf8')).toBe('one');
    expect(fs.readlinkSync('/repo/link')).toBe('a.txt');
    const status = await git.statusMatrix({ fs, dir });
    expect(status.every(([, head, workdir, stage]) => head === 1 && workdir === 1 && stage === 1)).toBe(true);
    await git.branch({ fs, dir, ref: 'topic' });
    await git.checkout({ fs, dir, ref: 'main' });
    expect(fs.readFileSync('/repo/a.txt', 'utf8')).toBe('changed');
  });

  it('unionfs: reads through, writes to the top', async () => {
    const lower = make();
    const upper = make();
    lower.mkdirSync('/d');
    upper.mkdirSync('/d');
    lower.writeFileSync('/d/low', 'low');
    lower.writeFileSync('/d/both', 'below');
    upper.writeFileSync('/d/both', 'above');
    const union = new Union();
    union.use(lower as never).use(upper as never);
    expect(union.readFileSync('/d/low', 'utf8')).toBe('low');
    expect(union.readFileSync('/d/both', 'utf8')).toBe('above');
    expect((union.readdirSync('/d')).sort()).toEqual(['both', 'low']);
    union.writeFileSync('/d/new', 'n');
    expect(upper.readFileSync('/d/new', 'utf8')).toBe('n');
    expect(lower.existsSync('/d/new')).toBe(false);
    expect(await union.promises.readFile('/d/low', 'utf8')).toBe('low');
    expect(() => union.readFileSync('/none')).toThrow('ENOENT');
  });
});
