import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, e2fsck, good, have, iomap, scratch, sh } from './harness.js';

let dir = '';
let image = '';

beforeEach(async () => {
  dir = scratch();
  image = join(dir, 'disk.img');
  await good(['mkfs', '--size', '16M', '--label', 'test', image]);
});
afterEach(() => {
  expect(e2fsck(image)).toBe('');
  cleanUp();
});

const debugfs = (request: string): string =>
  have('debugfs') ? execFileSync('debugfs', ['-R', request, image], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }) : '';

const put = (name: string, content: string | Buffer): string => {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
};

describe('mkfs and info', () => {
  it('says what it made', async () => {
    const info = JSON.parse(await good(['info', '--json', image])) as Record<string, unknown>;
    expect(info).toMatchObject({ type: 'ext2', label: 'test', sizeBytes: 16 * 2 ** 20, state: 'clean' });
    expect(info['features']).toEqual(expect.arrayContaining(['filetype', 'sparse_super', 'dir_index']));
    expect(await good(['info', image])).toContain('features:');
    expect(debugfs('show_super_stats -h')).toContain('test');
  });

  it('does not make one over another without --force', async () => {
    const before = readFileSync(image);
    const ran = await iomap(['mkfs', image]);
    expect(ran).toMatchObject({ code: 1, err: `iomap: ${image}: EEXIST: it holds a filesystem (ext2): --force makes a new one over it\n` });
    expect(readFileSync(image).equals(before)).toBe(true);
    await good(['mkfs', '--force', '--block-size', '4K', '--inode-size', '128', '--features', '^dir_index', '--uuid', '01234567-89ab-cdef-0123-456789abcdef', '--size', '32M', image]);
    const info = JSON.parse(await good(['info', '--json', image])) as Record<string, unknown>;
    expect(info).toMatchObject({ blockSize: 4096, inodeSize: 128, sizeBytes: 32 * 2 ** 20, uuid: '01234567-89ab-cdef-0123-456789abcdef' });
    expect(info['features']).not.toContain('dir_index');
  });
});

describe('editing', () => {
  it('copies, lists, moves, links, changes and removes', async () => {
    const content = Buffer.alloc(300_000, 'abc');
    const file = put('file', content);
    await good(['mkdir', '-p', `${image}:/a/b/c`, `${image}:/a/d`]);
    await good(['cp', file, `${image}:/a/b/`]);
    expect((await iomap(['cat', `${image}:/a/b/file`])).bytes.equals(content)).toBe(true);
    await good(['mv', `${image}:/a/b/file`, `${image}:/a/renamed`]);
    await good(['ln', `${image}:/a/renamed`, `${image}:/hard`]);
    await good(['ln', '-s', 'a/renamed', `${image}:/soft`]);
    expect((await iomap(['cat', `${image}:/soft`])).bytes.equals(content)).toBe(true);
    await good(['chmod', 'u+x,go=', `${image}:/hard`]);
    await good(['chown', '12:34', `${image}:/hard`]);
    await good(['truncate', '-s', '100', `${image}:/hard`]);
    const stat = JSON.parse(await good(['stat', '--json', `${image}:/a/renamed`])) as Record<string, unknown>;
    expect(stat).toMatchObject({ type: 'file', mode: '0700', uid: 12, gid: 34, size: 100, links: 2 });
    expect(await good(['ls', `${image}:/`])).toBe('a\nhard\nlost+found\nsoft\n');
    expect(await good(['ls', '-l', `${image}:/`])).toMatch(/^total \d+\n(.*\n)*-rwx------ +2 12 34 +100 \S+ \S+ hard\n(.*\n)*lrwxrwxrwx .* soft -> a\/renamed\n$/);
    expect(await good(['ls', '-R', `${image}:/a`])).toBe('/a:\nb\nd\nrenamed\n\n/a/b:\nc\n\n/a/b/c:\n\n/a/d:\n');
    expect(await good(['tree', `${image}:/a`])).toBe('/a\n├── b\n│   └── c\n├── d\n└── renamed\n\n3 directories, 1 file\n');
    expect(debugfs('stat /hard')).toMatch(/Mode: +0700[\s\S]*User: +12 +Group: +34[\s\S]*Size: 100/);
    await good(['rm', '-r', `${image}:/a`]);
    expect(await good(['ls', `${image}:/`])).toBe('hard\nlost+found\nsoft\n');
    await good(['rm', '-f', `${image}:/nothing`, `${image}:/hard`, `${image}:/soft`]);
    expect(await good(['ls', '-a', '-i', `${image}:/`])).toMatch(/^2 \.\n2 \.\.\n|lost/);
  });

  it('copies trees in, out, inside and to another image', async () => {
    const tree = join(dir, 'tree');
    mkdirSync(tree);
    sh(`mkdir -p x/y; echo one > x/one; echo two > x/y/two; ln -s y/two x/link; chmod 750 x; touch -d '2020-02-02 02:02:02.020202020' x/one; ln x/one x/also; truncate -s 1M x/hole; mkfifo x/pipe`, tree);
    await good(['cp', '-r', '-p', join(tree, 'x'), `${image}:/`]);
    await good(['cp', '-r', '-p', `${image}:/x`, `${image}:/copy`]);
    const other = join(dir, 'other.img');
    await good(['mkfs', '--size', '8M', other]);
    await good(['cp', '-r', '-p', `${image}:/copy`, `${other}:/third`]);
    expect(e2fsck(other)).toBe('');
    const back = join(dir, 'back');
    await good(['cp', '-r', '-p', `${other}:/third`, back]);
    const list = (path: string): string => sh(`cd ${path}; find . -printf '%P %y %m %n %s %T@ %l\\n' | grep -v '^ d' | sort; md5sum $(find . -type f | sort)`);
    expect(list(back)).toBe(list(join(tree, 'x')));
    // Without -p: content and links, not times.
    await good(['rm', '-f', `${image}:/x/pipe`]);
    const plain = join(dir, 'plain');
    await good(['cp', '-r', `${image}:/x`, plain]);
    expect(sh(`cd ${plain}; find . -type f -size -10 | sort | xargs cat; readlink link; stat -c %b hole`)).toBe('one\none\ntwo\ny/two\n0\n');
  });

  it('does not copy a directory into itself, nor a file onto itself', async () => {
    await good(['mkdir', '-p', `${image}:/d/e`]);
    expect(await iomap(['cp', '-r', `${image}:/d`, `${image}:/d/e`])).toMatchObject({ code: 1, err: expect.stringContaining('EINVAL: a directory cannot be copied into itself') as string });
    expect(await iomap(['cp', '-r', `${image}:/d`, `${image}:/d`])).toMatchObject({ code: 1 });
    await good(['cp', put('f', 'x'), `${image}:/f`]);
    expect(await iomap(['cp', `${image}:/f`, `${image}:/f`])).toMatchObject({ code: 1, err: expect.stringContaining('same file') as string });
    expect(await good(['cat', `${image}:/f`])).toBe('x');
  });

  it('does not overwrite a file with itself by another name', async () => {
    await good(['cp', put('f', 'content'), `${image}:/f`]);
    await good(['ln', `${image}:/f`, `${image}:/hard`]);
    await good(['ln', '-s', 'f', `${image}:/soft`]);
    for (const name of ['hard', 'soft']) {
      expect(await iomap(['cp', `${image}:/f`, `${image}:/${name}`])).toMatchObject({ code: 1, err: expect.stringContaining('same file') as string });
    }
    await good(['mkdir', `${image}:/d`, `${image}:/e`]);
    await good(['ln', `${image}:/f`, `${image}:/d/f`]);
    await good(['ln', `${image}:/f`, `${image}:/e/f`]);
    expect(await iomap(['cp', '-r', `${image}:/d/..`, `${image}:/e`])).toMatchObject({ code: 1 });
    expect(await iomap(['cp', '-r', `${image}:/d`, `${image}:/e/..`])).toMatchObject({ code: 1 });
    expect(await good(['cat', `${image}:/f`])).toBe('content');
  });

  it('replaces by ln -f, and never loses the one file there is', async () => {
    await good(['cp', put('f', 'content'), `${image}:/f`]);
    await good(['cp', put('g', 'other'), `${image}:/g`]);
    expect(await iomap(['ln', '-f', `${image}:/f`, `${image}:/f`])).toMatchObject({ code: 1, err: expect.stringContaining('same file') as string });
    expect(await iomap(['ln', '-f', `${image}:/nothing`, `${image}:/g`])).toMatchObject({ code: 1 });
    expect(await iomap(['ln', '-s', '-f', 'x'.repeat(5000), `${image}:/g`])).toMatchObject({ code: 1 });
    expect(await good(['cat', `${image}:/f`, `${image}:/g`])).toBe('contentother');
    await good(['ln', '-f', `${image}:/f`, `${image}:/g`]);
    await good(['ln', '-f', `${image}:/f`, `${image}:/g`]);
    expect(await good(['cat', `${image}:/g`])).toBe('content');
    await good(['ln', '-s', '-f', 'f', `${image}:/g`]);
    expect(await good(['ls', `${image}:/`])).toBe('f\ng\nlost+found\n');
  });

  it("takes '..' in an image for the directory's content, never for a name on the host", async () => {
    await good(['mkdir', '-p', `${image}:/d/sub`]);
    await good(['cp', put('f', 'content'), `${image}:/d/f`]);
    const out = join(dir, 'out', 'here');
    mkdirSync(out, { recursive: true });
    for (const flags of [['-r'], ['-r', '-p']]) {
      await good(['cp', ...flags, `${image}:/d/sub/..`, out]);
      expect(readFileSync(join(out, 'f'), 'utf8')).toBe('content');
      expect(readdirSync(join(dir, 'out'))).toEqual(['here']);
    }
  });

  it('reads the second partition of a disk', async () => {
    if (!have('sfdisk')) return;
    const disk = join(dir, 'parts.img');
    sh(`truncate -s 24M ${disk}; printf '1M 4M L\\n8M 12M L\\n' | sfdisk -q --label gpt ${disk} <(true) 2>/dev/null || printf 'start=2048,size=8192\\nstart=16384,size=24576\\n' | sfdisk -q -X gpt ${disk}`);
    await good(['mkfs', `${disk}@2`]);
    await good(['cp', put('f', 'in two'), `${disk}@2:/f`]);
    expect(await good(['cat', `${disk}@2:/f`])).toBe('in two');
    expect(await iomap(['ls', disk])).toMatchObject({ code: 1, err: expect.stringContaining('a disk with partitions (1, 2)') as string });
    expect(await iomap(['ls', `${disk}@7:/`])).toMatchObject({ code: 1, err: expect.stringContaining('ENXIO: no partition 7') as string });
  });
});

describe('map and fsck', () => {
  it('shows where a file is, as debugfs does', async () => {
    await good(['cp', put('big', Buffer.alloc(500_000, 1)), `${image}:/big`]);
    const map = JSON.parse(await good(['map', '--json', `${image}:/big`])) as { extents: { logical: number; physical: number; length: number }[]; blockSize: number };
    const blocks = new Set<number>();
    for (const { physical, length } of map.extents) for (let at = 0; at < length; at += map.blockSize) blocks.add((physical + at) / map.blockSize);
    expect(blocks.size).toBe(Math.ceil(500_000 / map.blockSize));
    if (have('debugfs')) {
      const theirs = debugfs('blocks /big').trim().split(/\s+/).map(Number);
      for (const block of blocks) expect(theirs).toContain(block);
    }
    const picture = await good(['map', `${image}:/big`]);
    expect(picture).toMatch(/file +\|A+/);
    expect(picture).toMatch(/device +\|.*B/);
  });

  it('answers with the exit codes of fsck(8)', async () => {
    expect(await good(['fsck', image])).toBe(`${image}: clean\n`);
    expect(JSON.parse(await good(['fsck', '--json', image]))).toMatchObject({ clean: true, findings: [] });
    const broken = join(dir, 'broken.img');
    const bytes = readFileSync(image);
    const bitmap = bytes.readUInt32LE(2048) * 1024;
    bytes.fill(0, bitmap, bitmap + 16);
    writeFileSync(broken, bytes);
    expect(await iomap(['fsck', broken])).toMatchObject({ code: 4 });
    expect(await iomap(['fsck', join(dir, 'none')])).toMatchObject({ code: 8 });
    expect(await iomap(['fsck', '--nonsense', image])).toMatchObject({ code: 16 });
    expect(await iomap(['fsck'])).toMatchObject({ code: 16 });
    expect(readFileSync(broken).equals(bytes)).toBe(true);
  });
});

describe('build', () => {
  it('makes the same bytes from the same tree, and the whole tree', async () => {
    const tree = join(dir, 'src');
    mkdirSync(tree);
    sh(`mkdir -p a/b; for i in $(seq 300); do echo $i > a/file$i; done; head -c 3000000 /dev/urandom > big; truncate -s 40M sparse; echo tail >> sparse; ln big a/hard; ln -s "$(printf 'l%.0s' {1..100})" slow; ln -s x fast; mkfifo pipe; echo é > 'é'`, tree);
    if (have('setfattr')) sh(`setfattr -n user.note -v hello big; setfattr -n user.long -v "$(printf 'v%.0s' {1..900})" a/file1`, tree);
    const one = join(dir, 'one.img');
    const two = join(dir, 'two.img');
    await good(['build', tree, one]);
    sh(`cp -a ${tree} ${tree}2; find ${tree}2 -type f -exec cat {} + > /dev/null`);
    const said = await good(['build', `${tree}2`, two]);
    expect(said).toContain('303 files');
    expect(readFileSync(one).equals(readFileSync(two))).toBe(true);
    expect(e2fsck(one)).toBe('');
    expect(statSync(one).size).toBeLessThan(6_000_000);
    const listing = JSON.parse(await good(['ls', '-R', '--json', `${one}:/`])) as { path: string; size: number; links: number; blocks512: number; target?: string }[];
    const find = (path: string) => listing.find((entry) => entry.path === path);
    expect(find('/a/hard')).toMatchObject({ size: 3_000_000, links: 2 });
    expect(find('/sparse')?.blocks512).toBeLessThan(100);
    expect(find('/slow')?.target).toBe('l'.repeat(100));
    expect(find('/é')).toBeDefined();
    expect((await iomap(['cat', `${one}:/big`])).bytes.equals(readFileSync(join(tree, 'big')))).toBe(true);
    if (have('setfattr')) expect(await good(['stat', `${one}:/big`])).toContain('user.note=hello');
    // A tar of it makes the same tree too.
    const tar = sh(`tar --sort=name --format=posix --sparse -cf ${dir}/src.tar -C ${tree} . && echo ok`);
    expect(tar).toBe('ok\n');
    await good(['build', '-', two], { input: readFileSync(join(dir, 'src.tar')) });
    expect(e2fsck(two)).toBe('');
    expect((await iomap(['cat', `${two}:/sparse`])).bytes.equals(readFileSync(join(tree, 'sparse')))).toBe(true);
  });

  it('clamps times to SOURCE_DATE_EPOCH', async () => {
    const tree = join(dir, 'src');
    mkdirSync(tree);
    sh(`echo a > new; echo b > old; touch -d '2001-01-01 UTC' old`, tree);
    const out = join(dir, 'o.img');
    await good(['build', tree, out], { env: { SOURCE_DATE_EPOCH: '1600000000', PATH: process.env['PATH'] } });
    expect(await good(['stat', `${out}:/new`])).toContain('2020-09-13T12:26:40');
    expect(await good(['stat', `${out}:/old`])).toContain('2001-01-01');
    expect(await good(['info', out])).toMatch(/created: +2020-09-13/);
  });
});
