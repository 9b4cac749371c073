/** Bad input to the command: one clear line, the right exit code, nothing lost and nothing half-written left. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, e2fsck, good, iomap, scratch, sh, type Ran } from './harness.js';

let dir = '';
let image = '';

beforeEach(async () => {
  dir = scratch();
  image = join(dir, 'disk.img');
  await good(['mkfs', '--size', '4M', image]);
});
afterEach(() => {
  expect(e2fsck(image)).toBe('');
  cleanUp();
});

/** One line, in the form of every error, and no stack. */
function expectLine(ran: Ran, code: number, pattern: RegExp): void {
  expect([ran.code, ran.err]).toEqual([code, expect.stringMatching(pattern)]);
  expect(ran.err.trimEnd().split('\n')).toHaveLength(1);
  expect(ran.err).toMatch(/^iomap: /);
  expect(ran.err).not.toMatch(/ at .*:\d+:\d+/);
}

const here = (): string[] => readdirSync(dir).sort();

describe('an image that is none', () => {
  it('is missing', async () => {
    for (const command of [['ls'], ['info'], ['cat'], ['rm'], ['mkdir'], ['tar'], ['map'], ['stat']]) {
      const arg = ['cat', 'rm', 'mkdir', 'map'].includes(command[0] ?? '') ? `${dir}/none.img:/x` : `${dir}/none.img`;
      expectLine(await iomap([...command, arg]), 1, /^iomap: .*none\.img: ENOENT: no such file or directory\n$/);
    }
    expect(here()).toEqual(['disk.img']);
  });

  it('is something else', async () => {
    const cases: [string, Buffer, RegExp][] = [
      ['text', Buffer.from('hello, world\n'), /EINVAL: no known filesystem \(known: ext2, /],
      ['empty', Buffer.alloc(0), /EINVAL: the file is empty/],
      ['zeros', Buffer.alloc(100_000), /EINVAL: no known filesystem/],
      ['gz', Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(5000)]), /EINVAL: compressed with gzip/],
      ['xfs', Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(5000)]), /EOPNOTSUPP: .*XFS version 0/],
    ];
    for (const [name, bytes, pattern] of cases) {
      const path = join(dir, name);
      writeFileSync(path, bytes);
      expectLine(await iomap(['ls', path]), 1, pattern);
      expectLine(await iomap(['fsck', path]), 8, pattern);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }
    expectLine(await iomap(['ls', dir]), 1, /EISDIR/);
  });

  it('is cut short', async () => {
    const path = join(dir, 'cut.img');
    writeFileSync(path, readFileSync(image).subarray(0, 1_000_000));
    expectLine(await iomap(['ls', path]), 1, /EUCLEAN/);
  });

  it('has features that we cannot read', async () => {
    const path = join(dir, 'ext4.img');
    sh(`mke2fs -q -t ext4 ${path} 8M`);
    expectLine(await iomap(['ls', path]), 1, /EOPNOTSUPP: .*extent/);
  });
});

describe('a file to make', () => {
  it('is too small', async () => {
    expectLine(await iomap(['mkfs', '--size', '8K', join(dir, 'small.img')]), 1, /ENOSPC/);
    expect(here()).toEqual(['disk.img']);
  });

  it('has no place', async () => {
    mkdirSync(join(dir, 'src'));
    expectLine(await iomap(['build', join(dir, 'src'), join(dir, 'no/where.img')]), 1, /ENOENT: no such directory/);
    expectLine(await iomap(['build', join(dir, 'src'), join(dir, 'src')]), 1, /EISDIR/);
    expectLine(await iomap(['mkfs', '--size', '1M', join(dir, 'no/where.img')]), 1, /ENOENT/);
    expectLine(await iomap(['mkfs', join(dir, 'new.img')]), 2, /say --size/);
    expect(here()).toEqual(['disk.img', 'src']);
  });

  it('has no room: the old one stays', async () => {
    const src = join(dir, 'src');
    mkdirSync(src);
    writeFileSync(join(src, 'big'), Buffer.alloc(3_000_000, 7));
    const before = readFileSync(image);
    expectLine(await iomap(['build', '--size', '1M', src, image]), 1, /disk\.img: \/big: ENOSPC/);
    expect(readFileSync(image).equals(before)).toBe(true);
    expect(here()).toEqual(['disk.img', 'src']);
  });

  it('has a source that is none', async () => {
    writeFileSync(join(dir, 'text'), 'x'.repeat(2000));
    expectLine(await iomap(['build', join(dir, 'none'), join(dir, 'o.img')]), 1, /none: ENOENT/);
    expectLine(await iomap(['build', join(dir, 'text'), join(dir, 'o.img')]), 1, /text: EINVAL: not a tar archive/);
    expectLine(await iomap(['build', '-', join(dir, 'o.img')], { input: Buffer.from('nope') }), 1, /standard input: EINVAL: not a tar archive/);
    expectLine(await iomap(['build', '-t', 'ext9', dir, join(dir, 'o.img')]), 2, /unknown type of filesystem: ext9/);
    expect(here()).toEqual(['disk.img', 'text']);
  });
});

describe('paths inside', () => {
  it('are not there, are no directory, are too long', async () => {
    await good(['truncate', '-s', '10', `${image}:/file`]);
    expectLine(await iomap(['cat', `${image}:/nope`]), 1, /^iomap: .*disk\.img: \/nope: ENOENT: no such file or directory\n$/);
    expectLine(await iomap(['ls', `${image}:/file/x`]), 1, /disk\.img: \/file\/x: ENOTDIR/);
    expectLine(await iomap(['ls', `${image}:/file/`]), 1, /ENOTDIR/);
    expectLine(await iomap(['mkdir', `${image}:/file/x`]), 1, /ENOTDIR/);
    expectLine(await iomap(['mkdir', `${image}:/${'n'.repeat(256)}`]), 1, /ENAMETOOLONG/);
    expectLine(await iomap(['cat', `${image}:/${'n'.repeat(256)}`]), 1, /ENAMETOOLONG/);
    expectLine(await iomap(['cat', `${image}:/lost+found`]), 1, /EISDIR: is a directory/);
    expectLine(await iomap(['rm', `${image}:/lost+found`]), 1, /EISDIR/);
    expectLine(await iomap(['rm', '-r', `${image}:/`]), 1, /EBUSY/);
    expectLine(await iomap(['mkdir', `${image}:/file`]), 1, /EEXIST/);
    expectLine(await iomap(['cat', image]), 2, /no path/);
    expectLine(await iomap(['chmod', 'u*x', `${image}:/file`]), 2, /not a mode/);
    expectLine(await iomap(['chown', 'nobody', `${image}:/file`]), 2, /not a numeric owner/);
    expectLine(await iomap(['truncate', '-s', 'many', `${image}:/file`]), 2, /not a size/);
    expect(await good(['ls', `${image}:/`])).toBe('file\nlost+found\n');
  });

  it('fail alone: the others are done', async () => {
    await good(['truncate', '-s', '3', `${image}:/a`, `${image}:/b`]);
    expectLine(await iomap(['rm', `${image}:/a`, `${image}:/none`, `${image}:/b`]), 1, /\/none: ENOENT/);
    expect(await good(['ls', `${image}:/`])).toBe('lost+found\n');
  });

  it('cannot wreck the terminal', async () => {
    const nasty = `${image}:/\u001b[2Jx\ny`;
    await good(['mkdir', nasty]);
    expect(await good(['ls', `${image}:/`])).toBe('\\033[2Jx\\012y\nlost+found\n');
    expectLine(await iomap(['cat', nasty]), 1, /\\033\[2Jx\\012y: EISDIR/);
  });
});

describe('copies', () => {
  it('go on when a file vanishes', async () => {
    const src = join(dir, 'src');
    mkdirSync(src);
    for (const name of ['a', 'b', 'c']) writeFileSync(join(src, name), name);
    // Two of three sources are there.
    const ran = await iomap(['cp', join(src, 'a'), join(src, 'gone'), join(src, 'c'), `${image}:/`]);
    expectLine(ran, 1, /src\/gone: ENOENT: no such file or directory/);
    expect(await good(['ls', `${image}:/`])).toBe('a\nc\nlost+found\n');
  });

  it('that do not fit lose nothing', async () => {
    const big = join(dir, 'big');
    writeFileSync(big, Buffer.alloc(6_000_000, 1));
    const small = join(dir, 'small');
    writeFileSync(small, 'kept');
    await good(['cp', small, `${image}:/file`]);
    expectLine(await iomap(['cp', big, `${image}:/file`]), 1, /\/file: ENOSPC/);
    expect(await good(['cat', `${image}:/file`])).toBe('kept');
    expectLine(await iomap(['cp', big, `${image}:/new`]), 1, /\/new: ENOSPC/);
    expect(await good(['ls', `${image}:/`])).toBe('file\nlost+found\n');
  });

  it('have to have a target', async () => {
    await good(['mkdir', `${image}:/d`]);
    expectLine(await iomap(['cp', join(dir, 'x'), join(dir, 'y')]), 2, /neither side is in an image/);
    expectLine(await iomap(['cp', `${image}:/d`, dir]), 1, /EISDIR: is a directory \(-r/);
    expectLine(await iomap(['cp', '-r', `${image}:/d`, join(dir, 'no/way')]), 1, /ENOENT: no such directory/);
    writeFileSync(join(dir, 'f'), 'x');
    expectLine(await iomap(['cp', join(dir, 'f'), `${image}:/no/such`]), 1, /ENOENT/);
    expectLine(await iomap(['cp', join(dir, 'f'), `${image}:/lost+found/x/y`]), 1, /ENOENT/);
    expectLine(await iomap(['cp', '-r', `${image}:/d`, join(dir, 'f')]), 1, /ENOTDIR/);
    expect(statSync(join(dir, 'f')).size).toBe(1);
    expect(existsSync(join(dir, 'no'))).toBe(false);
  });
});

describe('the command line', () => {
  it('is explained when it is wrong', async () => {
    expect(await iomap([])).toMatchObject({ code: 2 });
    expectLine(await iomap(['frobnicate']), 2, /unknown command 'frobnicate'/);
    expectLine(await iomap(['ls', '--frob', image]), 2, /unknown option/);
    expect(await iomap(['ls'])).toMatchObject({ code: 2 });
    expect(await iomap(['--help'])).toMatchObject({ code: 0, err: '' });
    expect(await iomap(['build', '--help'])).toMatchObject({ code: 0, err: '' });
    expect((await iomap(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expectLine(await iomap(['mkfs', '--size', 'huge', join(dir, 'n')]), 2, /not a size/);
    expectLine(await iomap(['mkfs', '--uuid', 'x', image]), 2, /not a UUID/);
    expectLine(await iomap(['mkfs', '--block-size', '3000', '--force', image]), 1, /EINVAL/);
  });
});
