/** Fills a mounted XFS with everything that the format has a form for. */
import { makeFragmentedFiles, makeSampleTree, oracle, poolBytes, runTool } from '@iomap/conformance';
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface PopulateOptions {
  readonly blockSize: number;
  readonly reflink: boolean;
  /** Entries of the directories. */
  readonly names: readonly number[];
  /** Extents of the fragmented file. */
  readonly extents: number;
  readonly xattrs: number;
  /** A tree that is read in a moment. */
  readonly small?: boolean;
}

const touch = (path: string | Buffer): void => closeSync(openSync(path, 'w'));

function makeDirectories(dir: string, counts: readonly number[]): void {
  for (const count of counts) {
    const one = join(dir, `names-${count}`);
    mkdirSync(one);
    for (let n = 0; n < count; n++) touch(join(one, `n${n}-${'x'.repeat((n * 37) % 50)}`));
    for (let n = 0; n < count; n += 7) rmSync(join(one, `n${n}-${'x'.repeat((n * 37) % 50)}`));
  }
  const step = counts.length < 4 ? 40 : 1;
  const lengths = join(dir, 'lengths');
  mkdirSync(lengths);
  for (let n = 1; n <= 255; n += step) touch(join(lengths, String.fromCharCode(97 + (n % 26)).repeat(n)));
  const links = join(dir, 'links');
  mkdirSync(links);
  for (const length of [1, 50, 300, 330, 335, 336, 337, 400, 456, 457, 900, 968, 1000, 1022, 1023]) symlinkSync('l'.repeat(length), join(links, `${length}`));
}

function makeExtents(dir: string, options: PopulateOptions): void {
  const { blockSize, extents } = options;
  const fd = openSync(join(dir, 'fragments'), 'w');
  for (let n = 0; n < extents; n++) writeSync(fd, poolBytes(n, blockSize), 0, blockSize, n * 2 * blockSize);
  fsyncSync(fd);
  closeSync(fd);
  const io = oracle('xfs-io');
  io.run(['-f', '-c', 'falloc 0 3m', '-c', 'pwrite -q 64k 64k', '-c', 'pwrite -q 1m 300k', '-c', 'fpunch 1100k 128k', '-c', 'fzero 1300k 64k', join(dir, 'prealloc')], { expect: [0] });
  io.run(['-f', '-c', 'falloc -k 0 2m', '-c', 'pwrite -q 0 100k', join(dir, 'prealloc-beyond')], { expect: [0] });
  io.run(['-f', '-c', 'pwrite -q 0 20k', '-c', 'chattr +dA', '-c', 'chproj 4711', '-c', 'cowextsize', join(dir, 'flags')], { expect: [0] });
  writeFileSync(join(dir, 'grown'), poolBytes(5, 100_000));
  truncateSync(join(dir, 'grown'), 30_000_000);
  const far = openSync(join(dir, 'far'), 'w');
  writeSync(far, poolBytes(3, 1000), 0, 1000, 2 ** 27);
  ftruncateSync(far, 2 ** 27 + 4_000_017);
  closeSync(far);
}

function makeReflinks(dir: string): void {
  const from = join(dir, 'shared');
  writeFileSync(from, Buffer.concat([1, 2, 3, 4].map((n) => poolBytes(n, 500_000))));
  runTool('sync', [dir], { expect: [0] });
  for (let n = 0; n < 5; n++) {
    const to = join(dir, `shared-${n}`);
    runTool('cp', ['--reflink=always', from, to], { expect: [0] });
    const fd = openSync(to, 'r+');
    for (let i = 0; i < 6; i++) writeSync(fd, poolBytes(i, 5000), 0, 5000, 131_072 * (i * 2 + n));
    closeSync(fd);
  }
  rmSync(join(dir, 'shared-2'));
}

function makeXattrs(dir: string, count: number): void {
  const files = ['x-many', 'x-large', 'x-few', 'x-mid'];
  for (const name of files) touch(join(dir, name));
  mkdirSync(join(dir, 'x-dir'));
  const hex = (seed: number, length: number): string => Buffer.from(poolBytes(seed, length)).toString('hex');
  let dump = `# file: ${join(dir, 'x-many')}\n`;
  for (let n = 0; n < count; n++) dump += `user.many-${n}-${'y'.repeat((n * 11) % 90)}=0x${hex(n, (n * 13) % 120)}\n`;
  dump += `\n# file: ${join(dir, 'x-large')}\n`;
  for (const [n, length] of [65_536, 65_535, 30_000, 4096, 4040, 3000, 1000, 0].entries()) dump += `user.large-${n}=0x${hex(n, length)}\n`;
  dump += `\n# file: ${join(dir, 'x-few')}\nuser.a=0x01\ntrusted.b=0x0203\nsecurity.c=0x040506\n`;
  dump += `\n# file: ${join(dir, 'x-mid')}\n`;
  for (let n = 0; n < 12; n++) dump += `trusted.mid-${n}=0x${hex(n, 60 + n)}\n`;
  dump += `\n# file: ${join(dir, 'x-dir')}\nuser.of-dir=0x${hex(1, 200)}\ntrusted.t=0x00\n`;
  oracle('setfattr').run(['--restore=-'], { input: dump, expect: [0] });
  const remove = oracle('setfattr');
  for (const n of [3, 4, 5, 200]) if (n < count) remove.run(['-x', `user.many-${n}-${'y'.repeat((n * 11) % 90)}`, join(dir, 'x-many')], { expect: [0] });
  remove.run(['-x', 'user.large-1', join(dir, 'x-large')], { expect: [0] });
  oracle('setfacl').run(['-m', 'u:1:rwx,u:70000:r--,g:5:rw-,m::rwx', join(dir, 'x-few'), join(dir, 'x-dir')], { expect: [0] });
  oracle('setfacl').run(['-d', '-m', 'u:9:rwx,g:9:---', join(dir, 'x-dir')], { expect: [0] });
}

export function populate(dir: string, options: PopulateOptions): void {
  const few = options.small === true ? { depth: 4, files: 42, sizeMax: 20_000 } : {};
  makeSampleTree(dir, { namesInOneDirectory: options.small === true ? 20 : 300, xattrs: 3, devices: false, ...few });
  // Linux makes majors of 9 bits and minors of 18 on XFS.
  const nodes = [['null', 'c', '1', '3'], ['big', 'b', '259', '70000'], ['wide', 'c', '511', '262143']] as const;
  for (const [name, type, major, minor] of nodes) runTool('mknod', [join(dir, name), type, major, minor], { expect: [0] });
  runTool('mknod', [join(dir, 'fifo'), 'p'], { expect: [0] });
  runTool('chown', ['70000:80000', join(dir, 'file-7')], { expect: [0] });
  makeFragmentedFiles(dir, 4, 40, options.blockSize);
  makeDirectories(dir, options.names);
  makeExtents(dir, options);
  if (options.reflink) makeReflinks(dir);
  makeXattrs(dir, options.xattrs);
  for (let n = 0; n < 60; n += 3) rmSync(join(dir, `file-${n}`), { force: true });
  runTool('touch', ['-d', '2200-02-03T04:05:06.123456789Z', join(dir, 'x-few')], { expect: [0] });
  runTool('touch', ['-d', '1920-02-03T04:05:06.5Z', join(dir, 'x-mid')], { expect: [0] });
}
