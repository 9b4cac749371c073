/** `iomap tar` and `extract` against GNU tar, bsdtar and a kernel mount; hostile images. */
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, e2fsck, good, have, iomap, isRoot, scratch, sh } from './harness.js';

let dir = '';
beforeEach(() => {
  dir = scratch();
});
afterEach(cleanUp);

/** Everything about a tree that an archive carries, as text. */
const describeTree = (path: string, options: { readonly xattrs: boolean }): string =>
  sh(
    `cd ${path}; find . -mindepth 1 -path ./lost+found -prune -o -mindepth 1 -printf '%P|%y|%m|%U:%G|%n|%T@|%l|' -a \\( -type f -printf '%s\\n' -o -printf '\\n' \\) | LC_ALL=C sort | sed -E 's/^([^|]*\\|d\\|.*)\\|[0-9]+\\|([0-9.]+)/\\1|\\2/';
     find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum; find . \\( -type b -o -type c \\) -print0 | LC_ALL=C sort -z | xargs -0 -r stat -c '%n %t %T';
     ${options.xattrs ? "getfattr -R -h -d -m - -e hex . 2>/dev/null | LC_ALL=C sort" : 'true'}`,
  );

/** A tree with all that an archive has to carry. */
function makeTree(): string {
  const tree = join(dir, 'tree');
  mkdirSync(tree);
  sh(
    `mkdir -p d/e; echo hello > d/f; ln d/f d/g; ln -s f d/s; echo x > "$(printf 'n%.0s' {1..200})"; D="$(printf 'p%.0s' {1..90})/$(printf 'q%.0s' {1..120})"; mkdir -p "$D"; echo deep > "$D/$(printf 'r%.0s' {1..130})";
     ln -s "$(printf 'l%.0s' {1..180})" longlink; truncate -s 3000000 sparse; printf mid | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none; printf end | dd of=sparse bs=1 seek=2999997 conv=notrunc status=none;
     truncate -s 500000 hole; truncate -s 200000 tailhole; printf head | dd of=tailhole conv=notrunc status=none; mkfifo pipe; printf bin > "$(printf 'nonutf\\xff\\xfe')"; ln -s "$(printf 'to\\xfa')" "$(printf 'link\\xfb')"; printf u > 'ümläut'; head -c 70000 /dev/urandom > big; chmod 4711 big; mkdir sticky; chmod 1777 sticky`,
    tree,
  );
  if (isRoot) sh('mknod c c 200 70000; mknod b b 8 1; chown 1234:5678 d/f; chown -h 3000000:4000000 longlink', tree);
  if (isRoot && have('setfattr')) sh(`setfattr -n user.text -v hello d/f; setfattr -n user.bin -v 0x00ff0a3d25 big; setfattr -n user.big -v "$(printf 'v%.0s' {1..800})" d/e; setfattr -n trusted.t -v 1 d`, tree);
  if (isRoot && have('setfacl')) sh('setfacl -m u:1234:r-x,g:99:-w- d; setfacl -d -m u:77:rwx d; setfacl -m u:5:r big', tree);
  sh(`find . -depth -exec touch -h -d '2020-01-02 03:04:05.678901234' {} +; touch -d '1969-12-31 23:59:58 UTC' hole`, tree);
  return tree;
}

describe('tar', () => {
  it('is restored whole by GNU tar and bsdtar, and by our own build', async () => {
    const tree = makeTree();
    const image = join(dir, 'a.img');
    await good(['build', tree, image]);
    expect(e2fsck(image)).toBe('');
    const tar = await iomap(['tar', image]);
    expect([tar.code, tar.err]).toEqual([0, '']);
    writeFileSync(join(dir, 'a.tar'), tar.bytes);
    const xattrs = isRoot && have('getfattr');
    const expected = describeTree(tree, { xattrs });
    expect(expected.split('\n').length).toBeGreaterThan(30);
    const tools: [string, string][] = [['gnu', 'tar --xattrs --xattrs-include="*" --acls -xpf']];
    if (have('bsdtar')) tools.push(['bsd', 'bsdtar --xattrs --acls -xpf']);
    for (const [name, command] of tools) {
      const out = join(dir, name);
      mkdirSync(out);
      sh(`${command} ${dir}/a.tar -C ${out}; rmdir ${out}/lost+found`);
      expect(describeTree(out, { xattrs })).toBe(expected);
      expect(Number(sh(`stat -c %b ${out}/sparse`))).toBeLessThan(200);
    }
    const again = join(dir, 'b.img');
    await good(['build', join(dir, 'a.tar'), again]);
    expect(e2fsck(again)).toBe('');
    const second = await iomap(['tar', again]);
    expect(second.bytes.equals(tar.bytes)).toBe(true);
    // `extract` is the same, in one step.
    await good(['extract', image, join(dir, 'x')]);
    sh(`rmdir ${dir}/x/lost+found`);
    expect(describeTree(join(dir, 'x'), { xattrs })).toBe(expected);
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('agrees with a kernel mount of the image', async () => {
    if (!isRoot) return;
    const tree = makeTree();
    const image = join(dir, 'a.img');
    await good(['build', tree, image]);
    const mount = join(dir, 'mnt');
    mkdirSync(mount);
    try {
      sh(`mount -o loop,ro,user_xattr,acl ${image} ${mount}`);
    } catch {
      return; // No loop devices here.
    }
    try {
      const kernel = describeTree(mount, { xattrs: true });
      const theirs = kernel.replace(/^# file: lost\+found\n/gm, '');
      expect(theirs).toBe(describeTree(tree, { xattrs: true }));
    } finally {
      sh(`umount ${mount}`);
    }
  });

  it('takes one file or one directory', async () => {
    const tree = makeTree();
    const image = join(dir, 'a.img');
    await good(['build', tree, image]);
    writeFileSync(join(dir, 'one.tar'), (await iomap(['tar', `${image}:/d/f`])).bytes);
    expect(sh(`tar -tf ${dir}/one.tar`)).toBe('f\n');
    writeFileSync(join(dir, 'd.tar'), (await iomap(['tar', `${image}:/d`])).bytes);
    expect(sh(`tar -tf ${dir}/d.tar | sort`)).toBe('./\n./e/\n./f\n./g\n./s\n');
  });

  it('works without tar, and says what was not carried', async () => {
    const tree = makeTree();
    sh('rm -f c b pipe', tree);
    const image = join(dir, 'a.img');
    await good(['build', tree, image]);
    const ran = await iomap(['extract', image, join(dir, 'x')], { env: { PATH: '/nonexistent' } });
    expect(ran.code).toBe(0);
    expect(ran.err).toMatch(/^iomap: no GNU tar or bsdtar here: not carried: nanoseconds of times.*\n$/);
    sh(`rmdir ${dir}/x/lost+found`);
    const seconds = (text: string): string => text.replace(/(\d+)\.\d{10}/g, '$1');
    expect(seconds(describeTree(join(dir, 'x'), { xattrs: false }))).toBe(seconds(describeTree(tree, { xattrs: false })));
  });
});

describe('a hostile image', () => {
  /** An image whose directory entries were renamed in its bytes: the same length, no checksum in ext2. */
  async function hostile(renames: readonly (readonly [string, string])[], script: string): Promise<string> {
    const tree = join(dir, 'evil');
    mkdirSync(tree);
    sh(script, tree);
    const image = join(dir, 'evil.img');
    await good(['build', tree, image]);
    const bytes = readFileSync(image);
    for (const [from, to] of renames) {
      const key = Buffer.from(from, 'latin1');
      const value = Buffer.from(to, 'latin1');
      let hits = 0;
      for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1)) {
        value.copy(bytes, at);
        hits++;
      }
      expect(hits).toBeGreaterThan(0);
      // The name may be shorter: its length is two bytes before it.
      if (value.length < key.length) throw new Error('same length, please');
    }
    writeFileSync(image, bytes);
    return image;
  }

  const outside = (): string[] => readdirSync(dir).sort();

  it.each([['with tar', undefined], ['without tar', { PATH: '/nonexistent' }]] as const)('never writes outside, %s', async (_, env) => {
    const victim = join(dir, 'victim');
    mkdirSync(victim);
    writeFileSync(join(victim, 'passwd'), 'untouched');
    // A name with slashes that climbs, an absolute one, '..' as an entry, and a symlink beside a directory of the same name.
    const image = await hostile(
      [
        ['AAAAAAAAAA', '../../pwnd'],
        ['BBBBBBBBBB', '/tmp/pwned'],
        ['CCCCCCCCCC', 'evil/../..'],
        ['SSSSSSSS01', 'escapehole'],
        ['SSSSSSSS02', 'escapehole'],
      ],
      `echo a > AAAAAAAAAA; echo b > BBBBBBBBBB; mkdir CCCCCCCCCC; echo c > CCCCCCCCCC/pwned; ln -s ${victim} SSSSSSSS01; mkdir SSSSSSSS02; echo evil > SSSSSSSS02/passwd; ln -s ${victim}/passwd zlink; echo fine > fine`,
    );
    const before = outside();
    const into = join(dir, 'deep');
    mkdirSync(into);
    const ran = await iomap(['extract', image, join(into, 'x')], env === undefined ? {} : { env });
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/EUCLEAN/);
    expect(readFileSync(join(victim, 'passwd'), 'utf8')).toBe('untouched');
    expect(readdirSync(victim)).toEqual(['passwd']);
    expect(outside()).toEqual([...before, 'deep'].sort());
    expect(readdirSync(into)).toEqual(['x']);
    expect(existsSync('/tmp/pwned')).toBe(false);
    expect(readFileSync(join(into, 'x', 'fine'), 'utf8')).toBe('fine\n');
    // A plain copy and an archive neither.
    await iomap(['cp', '-r', `${image}:/`, join(into, 'y')], env === undefined ? {} : { env });
    expect(readFileSync(join(victim, 'passwd'), 'utf8')).toBe('untouched');
    expect(readdirSync(into).sort()).toEqual(['x', 'y']);
  });

  it.each([['with tar', undefined], ['without tar', { PATH: '/nonexistent' }]] as const)('does not go through links that are there already, %s', async (_, env) => {
    const victim = join(dir, 'victim');
    mkdirSync(victim);
    const tree = join(dir, 'tree');
    mkdirSync(join(tree, 'sub'), { recursive: true });
    writeFileSync(join(tree, 'sub', 'file'), 'data');
    const image = join(dir, 'a.img');
    await good(['build', tree, image]);
    const into = join(dir, 'into');
    mkdirSync(into);
    symlinkSync(victim, join(into, 'sub'));
    await iomap(['extract', image, into], env === undefined ? {} : { env });
    expect(readdirSync(victim)).toEqual([]);
  });
});
