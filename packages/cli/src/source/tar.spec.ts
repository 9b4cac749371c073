import { createHash } from 'node:crypto';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, have, isRoot, scratch, sh } from '../../test/harness.js';
import { CommandError } from '../errors.js';
import type { Source, SourceInode } from './source.js';
import { tarSource } from './tar.js';

afterEach(cleanUp);

/** A source as text: one line an entry, content as a digest of its runs. */
function listing(source: Source): string[] {
  const lines: string[] = [];
  const numbers = new Map<SourceInode, number>();
  const visit = (inode: SourceInode, path: string): void => {
    const known = numbers.get(inode);
    if (known === undefined) numbers.set(inode, numbers.size);
    let content = '';
    if (inode.type === 'file') {
      const bytes = Buffer.alloc(inode.size);
      source.copyData(inode, path, Buffer.alloc(10_000), 4096, (pos, part) => void bytes.set(part, pos));
      content = createHash('md5').update(bytes).digest('hex');
    }
    const xattrs = [...(inode.xattrs ?? [])].map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`).sort().join(' ');
    lines.push([path, inode.type, (inode.mode & 0o7777).toString(8), inode.uid, inode.gid, inode.rdev, inode.size, inode.type === 'directory' ? '' : `${inode.mtime.sec}.${inode.mtime.nsec}`, inode.links, Buffer.from(inode.target ?? []).toString('latin1'), content, xattrs].join('|'));
    for (const entry of inode.entries) visit(entry.inode, `${path}/${entry.name}`);
  };
  visit(source.root, '');
  return lines;
}

const open = (path: string): Source => tarSource(openSync(path, 'r'), path);

/** A tree with most of what tar can hold. */
function makeTree(): string {
  const root = scratch();
  sh(
    `mkdir -p d/e; echo hello > d/f; ln d/f d/g; ln -s f d/s; printf x > "$(printf 'n%.0s' {1..200})";
     D="$(printf 'p%.0s' {1..90})/$(printf 'q%.0s' {1..120})"; mkdir -p "$D"; echo deep > "$D/$(printf 'r%.0s' {1..130})";
     C="$(printf 's%.0s' {1..97})"; mkdir "$C"; echo 'the header ends at a slash' > "$C/$(printf 't%.0s' {1..200})";
     ln -s "$(printf 'l%.0s' {1..180})" longlink; touch -d '2001-02-03 04:05:06.123456789' d/f; touch -d '1969-12-31 23:59:58.5 UTC' old;
     truncate -s 3000000 sparse; printf mid | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none; printf end | dd of=sparse bs=1 seek=2999997 conv=notrunc status=none;
     truncate -s 500000 hole; mkfifo pipe; printf 'bin' > "$(printf 'nonutf\\xff\\xfe')"; printf 'u' > 'ümläut'; head -c 70000 /dev/urandom > big; chmod 4711 big; find . -depth -exec touch -h -d '2020-01-02 03:04:05.678901234' {} +; touch -d '1969-12-31 23:59:58.5 UTC' old`,
    root,
  );
  if (isRoot) sh('mknod c c 259 70000; mknod b b 8 1; chown 1234:5678 d/f; chown 3000000:4000000 old; touch -d 2020-01-02 c b', root);
  return root;
}

describe('a tar archive as a source', () => {
  it('reads what GNU tar writes, in all its formats, as the same tree', () => {
    if (!have('tar')) return;
    const root = makeTree();
    const out = scratch();
    const make = (name: string, flags: string): string => {
      const path = join(out, name);
      sh(`tar --sort=name -cf ${path} ${flags} -C ${root} .`);
      return path;
    };
    const reference = listing(open(make('pax.tar', '--format=posix')));
    expect(reference.length).toBeGreaterThan(15);
    expect(listing(open(make('sparse10.tar', '--format=posix --sparse --sparse-version=1.0')))).toEqual(reference);
    expect(listing(open(make('sparse01.tar', '--format=posix --sparse --sparse-version=0.1')))).toEqual(reference);
    expect(listing(open(make('sparse00.tar', '--format=posix --sparse --sparse-version=0.0')))).toEqual(reference);
    // These formats have whole seconds.
    const seconds = reference.map((line) => line.replace(/(\|-?\d+)\.\d+\|/, '$1.0|'));
    expect(listing(open(make('gnu.tar', '--format=gnu')))).toEqual(seconds);
    expect(listing(open(make('gnusparse.tar', '--format=gnu --sparse')))).toEqual(seconds);
    if (have('bsdtar')) {
      const bsd = join(out, 'bsd.tar');
      sh(`bsdtar -cf ${bsd} --format=pax -C ${root} .`);
      // libarchive writes fractions of times before 1970 in a way of its own.
      const late = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('/old|'));
      expect(late(listing(open(bsd)))).toEqual(late(reference));
    }
  });

  it('reads xattrs and ACLs of GNU tar and bsdtar', () => {
    if (!have('setfattr') || !have('setfacl') || !isRoot) return;
    const root = scratch();
    const out = scratch();
    sh(`echo a > f; setfattr -n user.plain -v text f; setfattr -n user.bin -v 0x00ff0a3d f; setfattr -n trusted.x -v 1 f; mkdir d; setfacl -m u:1234:r-x,g:99:-w- d; setfacl -d -m u:77:rwx d`, root);
    sh(`tar -cf ${out}/g.tar --format=posix --xattrs --xattrs-include='*' --acls -C ${root} .`);
    const tree = open(`${out}/g.tar`);
    const find = (source: Source, name: string): SourceInode | undefined => source.root.entries.find((entry) => entry.name === name)?.inode;
    const f = find(tree, 'f')?.xattrs;
    expect(Buffer.from(f?.get('user.plain') ?? []).toString()).toBe('text');
    expect(Buffer.from(f?.get('user.bin') ?? []).toString('hex')).toBe('00ff0a3d');
    expect(f?.has('trusted.x')).toBe(true);
    const host = sh(`getfattr -n system.posix_acl_access -e hex --only-values ${root}/d | xxd -p | tr -d '\\n'`);
    expect(Buffer.from(find(tree, 'd')?.xattrs?.get('system.posix_acl_access') ?? []).toString('hex')).toBe(host);
    expect(find(tree, 'd')?.xattrs?.has('system.posix_acl_default')).toBe(true);
    if (!have('bsdtar')) return;
    sh(`bsdtar -cf ${out}/b.tar --format=pax --xattrs --acls -C ${root} .`);
    const bsd = open(`${out}/b.tar`);
    expect(Buffer.from(find(bsd, 'f')?.xattrs?.get('user.bin') ?? []).toString('hex')).toBe('00ff0a3d');
    expect(Buffer.from(find(bsd, 'd')?.xattrs?.get('system.posix_acl_access') ?? []).toString('hex')).toBe(host);
  });

  it('leaves out members that point outside, and says so', () => {
    const out = scratch();
    sh(`echo x > f; tar -cPf evil.tar --transform 's,^f,../../evil,' f; tar -rPf evil.tar --transform 's,^f,/abs,' f`, out);
    const source = open(join(out, 'evil.tar'));
    expect(source.root.entries.map((entry) => entry.name)).toEqual(['abs']);
    expect(source.failures).toHaveLength(1);
    expect(source.failures[0]).toContain("'..'");
  });

  it('refuses what is no archive or is damaged, in one line', () => {
    const out = scratch();
    sh(`head -c 100000 /dev/urandom > data; : > empty; tar -cf whole.tar data; head -c 50000 whole.tar > cut.tar; gzip -k whole.tar; printf hello > short`, out);
    for (const name of ['data', 'empty', 'cut.tar', 'whole.tar.gz', 'short']) {
      let error: unknown;
      try {
        open(join(out, name)).close();
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(CommandError);
      expect(error).toMatchObject({ code: 'EINVAL' });
    }
  });
});
