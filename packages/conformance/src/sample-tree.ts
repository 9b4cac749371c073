/**
 * A folder on the host with one of everything that a filesystem must carry: what Node cannot make (xattrs, ACLs, devices,
 * nanosecond times) is made by the system's own tools, in one process each for the whole tree.
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { poolBytes } from './op.js';
import { findOracle, isRoot, runTool } from './oracle.js';

export interface SampleTreeOptions {
  /** Empty files in one directory. Default 2,000. */
  readonly namesInOneDirectory?: number;
  /** Directories below each other. Default 50. */
  readonly depth?: number;
  /** Regular files of mixed sizes. Default 60. */
  readonly files?: number;
  /** Bytes of the largest ordinary file. Default 600,000. */
  readonly sizeMax?: number;
  /** Xattrs on each of some files; they have to fit the format. Default 4. */
  readonly xattrs?: number;
  readonly devices?: boolean;
  /** Names that are not UTF-8. Default true. */
  readonly rawNames?: boolean;
}

function makeFiles(dir: string, options: SampleTreeOptions): void {
  const sizeMax = options.sizeMax ?? 600_000;
  for (let n = 0; n < (options.files ?? 60); n++) {
    const size = n < 12 ? [0, 1, 59, 60, 1023, 1024, 1025, 4095, 4096, 4097, 12 * 1024, 12 * 1024 + 1][n] : (n * 7919 * 13) % sizeMax;
    writeFileSync(join(dir, `file-${n}`), poolBytes(n * 1111, size ?? 0), { mode: [0o644, 0o600, 0o755, 0o4711][n % 4] ?? 0o644 });
  }
  const sparse = openSync(join(dir, 'sparse'), 'w');
  for (const pos of [0, 50_000, 1_000_000, 9_000_000, 30_000_000]) writeSync(sparse, poolBytes(pos, 5000), 0, 5000, pos);
  ftruncateSync(sparse, 40_000_001);
  closeSync(sparse);
  const hole = openSync(join(dir, 'all-hole'), 'w');
  ftruncateSync(hole, 123_457);
  closeSync(hole);
  linkSync(join(dir, 'file-5'), join(dir, 'link-of-5'));
}

function makeNames(dir: string, options: SampleTreeOptions): void {
  const many = join(dir, 'many');
  mkdirSync(many);
  for (let n = 0; n < (options.namesInOneDirectory ?? 2000); n++) {
    closeSync(openSync(join(many, `entry-${n}-${'n'.repeat((n * 31) % 60)}`), 'w'));
  }
  linkSync(join(dir, 'file-5'), join(many, 'again-5'));
  let path = dir;
  for (let n = 0; n < (options.depth ?? 50); n++) {
    path = join(path, `level-${n}`);
    mkdirSync(path);
  }
  writeFileSync(join(path, 'bottom'), 'here');
  for (const length of [1, 59, 60, 61, 255]) symlinkSync('t'.repeat(length), join(dir, `symlink-${length}`));
  symlinkSync('many/entry-0-', join(dir, 'symlink-real'));
  const names = ['ünïcödé', '日本語.txt', '😀', ' leading and trailing ', `long-${'x'.repeat(250)}`];
  for (const name of names) writeFileSync(join(dir, name), name);
  if (options.rawNames !== false) writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe, 0x80])]), 'raw');
}

/** Xattrs and ACLs as dumps that `setfattr` and `setfacl` restore. */
function makeXattrs(dir: string, options: SampleTreeOptions): void {
  const setfattr = findOracle('setfattr');
  const count = options.xattrs ?? 4;
  if (setfattr !== undefined && count > 0) {
    let dump = '';
    for (let n = 20; n < 32; n++) {
      dump += `# file: ${join(dir, `file-${n}`)}\n`;
      for (let x = 0; x < count; x++) {
        // Some files have equal sets: formats that share blocks of xattrs do so.
        const value = Buffer.from(poolBytes(x * 100 + (n % 3), 10 + x * 7)).toString('hex');
        dump += `user.attribute-${x}=0x${value}\n`;
      }
      if (isRoot()) dump += `trusted.t=0x00ff\n`;
      dump += '\n';
    }
    setfattr.run(['--restore=-'], { input: dump, expect: [0] });
  }
  const setfacl = findOracle('setfacl');
  if (setfacl !== undefined) {
    setfacl.run(['-m', 'u:1234:rwx,g:4321:r-x,m::rwx', join(dir, 'file-40'), join(dir, 'file-41'), join(dir, 'many')], { expect: [0] });
    setfacl.run(['-d', '-m', 'u:1234:rwx', join(dir, 'many')], { expect: [0] });
  }
}

/** Fills the empty folder `dir`. */
export function makeSampleTree(dir: string, options: SampleTreeOptions = {}): void {
  makeFiles(dir, options);
  makeNames(dir, options);
  makeXattrs(dir, options);
  if (options.devices !== false && isRoot()) {
    const nodes = [['null', 'c', '1', '3'], ['big', 'b', '259', '70000'], ['wide', 'c', '4095', '1048575']] as const;
    for (const [name, type, major, minor] of nodes) runTool('mknod', [join(dir, name), type, major, minor], { expect: [0] });
    runTool('mknod', [join(dir, 'fifo'), 'p'], { expect: [0] });
    runTool('chown', ['70000:80000', join(dir, 'file-7')], { expect: [0] });
  }
  utimesSync(join(dir, 'file-1'), 1_234_567_890.125, 987_654_321.5);
  utimesSync(join(dir, 'file-2'), 0, 0);
  runTool('touch', ['-d', '2001-02-03T04:05:06.123456789Z', join(dir, 'file-3')], { expect: [0] });
}

/** Writes files in turn, a piece each, so that their blocks interleave; then removes some. For a mounted image. */
export function makeFragmentedFiles(dir: string, files = 8, pieces = 60, pieceBytes = 4096): void {
  const fds = Array.from({ length: files }, (_, n) => openSync(join(dir, `fragmented-${n}`), 'w'));
  for (let piece = 0; piece < pieces; piece++) {
    for (const [n, fd] of fds.entries()) writeSync(fd, poolBytes(piece * 97 + n, pieceBytes), 0, pieceBytes, piece * pieceBytes * (n % 3 === 2 ? 2 : 1));
    // Without this the kernel would lay each file out at once, at the end.
    if (piece % 4 === 0) for (const fd of fds) fsyncSync(fd);
  }
  for (const fd of fds) closeSync(fd);
}
