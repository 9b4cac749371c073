/**
 * What `npm start` shows: a real ext2 image built from this repository's own node_modules, read back byte for byte, edited,
 * checked, and left behind to play with.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { traceDevice, type TraceDevice } from '@iomap/block-device';
import { openFileDevice } from '@iomap/block-device/node';
import { runSync } from '@iomap/io';
import { createVfs, O_CREAT, O_WRONLY, type FiemapExtent, type FileSystem, type Inode, type Name } from '@iomap/vfs';
import { identityOf } from './build/identity.js';
import { populate } from './build/populate.js';
import { mapText } from './commands/map.js';
import { createContext, type Context } from './context.js';
import { ext2Driver } from './drivers/ext2.js';
import { sizeText } from './format.js';
import { shown, toHostPath } from './names.js';
import { folderSource } from './source/folder.js';
import { totalsOf, visitInodes, type Source } from './source/source.js';
import { processTerminal } from './terminal.js';
import { ImageTree } from './tree.js';

interface Phase {
  readonly name: string;
  readonly files: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly begins: number;
  readonly folios: number;
  readonly bios: number;
  /** Bytes of the device written for each byte of data written. */
  readonly amplification: number | undefined;
}

/** The repository, or the folder that the demo was started in when it is installed elsewhere. */
function findRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); dirname(at) !== at; at = dirname(at)) {
    if (existsSync(join(at, 'nx.json')) && existsSync(join(at, 'node_modules'))) return at;
  }
  return process.cwd();
}

const totalBios = (trace: TraceDevice): number => trace.counters.read.bios + trace.counters.write.bios + trace.counters.writeZeroes.bios;

const fail = (what: string): never => {
  throw new Error(what);
};

class Demo {
  private readonly phases: Phase[] = [];

  constructor(
    private readonly context: Context,
    private readonly source: Source,
    private readonly image: string,
  ) {}

  private say(text: string): void {
    this.context.print(`${text}\n`);
  }

  private measure(name: string, work: (trace: TraceDevice) => { fs: FileSystem; files: number; bytes: number }, sizeBytes?: number): void {
    const device = openFileDevice(this.image, sizeBytes === undefined ? {} : { create: true, truncate: true, sizeBytes });
    const trace = traceDevice(device);
    const started = performance.now();
    try {
      const { fs, files, bytes } = work(trace);
      const seconds = (performance.now() - started) / 1000;
      const { begins = 0, foliosTouched = 0, writeBytes = 0 } = fs.counters ?? {};
      const written = trace.counters.write.bytes;
      this.phases.push({
        name,
        files,
        bytes,
        seconds,
        begins,
        folios: foliosTouched,
        bios: totalBios(trace),
        amplification: writeBytes > 0 ? written / writeBytes : undefined,
      });
    } finally {
      device.close();
    }
  }

  build(): void {
    const totals = totalsOf(this.source.root);
    const plan = ext2Driver.plan({ root: this.source.root, generosity: 0 });
    // Room for the edits that follow.
    const sizeBytes = plan.sizeBytes + 8 * 2 ** 20;
    const identity = identityOf(this.source.root, totals.latest, 'demo');
    const env = identity.env();
    this.measure(
      'build',
      (trace) => {
        runSync(ext2Driver.mkfs(trace, { env, uuid: identity.uuid, blockSize: plan.blockSize, inodes: plan.inodes, label: 'node_modules', reservedPercent: 0, features: ['^resize_inode'], freshFile: true }));
        const fs = runSync(ext2Driver.mount(trace, { env, readOnly: false }));
        const bar = this.context.progress('building', totals.bytes);
        populate(fs, this.source, {
          blockBytes: runSync(fs.statfs()).blockSize,
          latest: undefined,
          image: this.image,
          progress: (bytes) => bar.add(bytes),
          problem: (line) => this.context.problem(line),
        });
        bar.stop();
        return { fs, files: totals.files, bytes: totals.bytes };
      },
      sizeBytes,
    );
    this.say(`built: ${totals.files.toLocaleString('en')} files, ${totals.directories.toLocaleString('en')} directories, ${totals.others} links and others, an image of ${sizeText(sizeBytes)}`);
  }

  list(): void {
    const device = openFileDevice(this.image, { readOnly: true });
    try {
      const fs = runSync(ext2Driver.mount(device, { readOnly: true }));
      const tree = new ImageTree(fs);
      const entries = tree.list(tree.root()).filter(({ name }) => name !== 'lost+found' && !name.startsWith('.'));
      this.say(`\na part of it (${entries.length} entries in all):`);
      for (const { name, ino } of entries.slice(0, 8)) this.say(`  ${String(ino).padStart(6)} ${shown(name)}/ ${tree.list(tree.inode(ino)).slice(0, 5).map((below) => shown(below.name)).join(' ')}`);
    } finally {
      device.close();
    }
  }

  /** Every file, compared with the source; links too. */
  readBack(): void {
    this.measure('read back, compared', (trace) => {
      const fs = runSync(ext2Driver.mount(trace, { readOnly: true }));
      const tree = new ImageTree(fs);
      const mine = Buffer.allocUnsafe(1024 * 1024);
      const theirs = Buffer.allocUnsafe(1024 * 1024);
      const bar = this.context.progress('reading back', totalsOf(this.source.root).bytes);
      let files = 0;
      let bytes = 0;
      this.walk(tree, (inode, from, path) => {
        if (from.type === 'symlink' && tree.link(inode) !== Buffer.from(from.target ?? []).toString('latin1')) fail(`${path}: another target`);
        if (from.type !== 'file') return;
        if (inode.size !== from.size) fail(`${path}: another size`);
        const host = openSync(typeof from.data === 'string' || Buffer.isBuffer(from.data) ? from.data : toHostPath(path), 'r');
        for (let pos = 0; pos < inode.size; ) {
          const got = tree.read(inode, pos, mine.subarray(0, Math.min(mine.length, inode.size - pos)));
          const want = readSync(host, theirs, 0, got, pos);
          if (got === 0 || want !== got || Buffer.compare(mine.subarray(0, got), theirs.subarray(0, got)) !== 0) fail(`${path}: differs at ${pos}`);
          pos += got;
          bar.add(got);
        }
        closeSync(host);
        files++;
        bytes += inode.size;
      });
      bar.stop();
      this.say(`\nread back: ${files.toLocaleString('en')} files, every byte the same`);
      return { fs, files, bytes };
    });
  }

  /** Walks source and image side by side. */
  private walk(tree: ImageTree, visit: (inode: Inode, from: Source['root'], path: Name) => void): void {
    const stack: { ino: number; from: Source['root']; path: Name }[] = [{ ino: tree.fs.rootIno, from: this.source.root, path: '' }];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const here = new Map(tree.list(tree.inode(at.ino)).map(({ name, ino }) => [name, ino]));
      for (const { name, inode: from } of at.from.entries) {
        const path = `${at.path}/${name}`;
        const ino = here.get(name) ?? fail(`${path} is missing`);
        visit(tree.inode(ino), from, path);
        if (from.type === 'directory') stack.push({ ino, from, path });
      }
    }
  }

  edit(): void {
    this.measure('edit', (trace) => {
      const fs = runSync(ext2Driver.mount(trace, { readOnly: false }));
      const vfs = createVfs(fs, {});
      const first = this.source.root.entries.find(({ inode }) => inode.type === 'directory' && inode.entries.length > 0)?.name ?? '';
      const bytes = Buffer.alloc(3 * 2 ** 20, 'written through the iomap core. ');
      runSync(vfs.mkdir('/made-by-the-demo'));
      const fd = runSync(vfs.open('/made-by-the-demo/new', O_WRONLY | O_CREAT, 0o644));
      runSync(vfs.writeAll(fd, bytes));
      runSync(vfs.close(fd));
      runSync(vfs.link('/made-by-the-demo/new', '/made-by-the-demo/linked'));
      runSync(vfs.truncate('/made-by-the-demo/new', 2 ** 20 + 17));
      if (first !== '') runSync(vfs.rename(`/${first}`, '/made-by-the-demo/renamed'));
      runSync(vfs.unlink('/made-by-the-demo/linked'));
      runSync(vfs.unmount());
      this.say('edited: a file written, linked, truncated, unlinked; a directory renamed');
      return { fs, files: 1, bytes: bytes.length };
    });
  }

  check(): void {
    const device = openFileDevice(this.image, { readOnly: true });
    try {
      const started = performance.now();
      const { clean, findings } = runSync(ext2Driver.check(device));
      this.say(`checked: ${clean ? 'clean' : findings.map(({ message }) => message).join('; ')} (${((performance.now() - started) / 1000).toFixed(2)} s)`);
      if (!clean) fail('our own check found errors');
    } finally {
      device.close();
    }
    const ran = spawnSync('e2fsck', ['-fn', this.image], { encoding: 'utf8' });
    if (ran.error !== undefined) this.say('e2fsck is not here: not asked');
    else if (ran.status === 0) this.say('e2fsck -fn: clean');
    else fail(`e2fsck -fn: ${ran.stdout}`);
  }

  async table(): Promise<void> {
    const { default: Table } = await import('cli-table3');
    const table = new Table({
      head: ['', 'files', 'bytes', 'seconds', 'MB/s', 'begin calls / MiB', 'folios', 'bios', 'write amplification'],
      colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
      style: { head: [], border: [] },
    });
    for (const { name, files, bytes, seconds, begins, folios, bios, amplification } of this.phases) {
      table.push([
        name,
        files.toLocaleString('en'),
        sizeText(bytes),
        seconds.toFixed(2),
        (bytes / 1e6 / seconds).toFixed(0),
        (begins / Math.max(1, bytes / 2 ** 20)).toFixed(1),
        folios.toLocaleString('en'),
        bios.toLocaleString('en'),
        amplification === undefined ? '' : amplification.toFixed(3),
      ]);
    }
    this.say(`\n${table.toString()}\npeak memory: ${sizeText(process.resourceUsage().maxRSS * 1024)}`);
  }

  picture(): string {
    let largest: { path: Name; size: number } = { path: '', size: -1 };
    visitInodes(this.source.root, (inode, path) => {
      if (inode.type === 'file' && inode.size > largest.size && inode.size < 4 * 2 ** 20) largest = { path, size: inode.size };
    });
    const device = openFileDevice(this.image, { readOnly: true });
    try {
      const fs = runSync(ext2Driver.mount(device, { readOnly: true }));
      const tree = new ImageTree(fs);
      const path = '/made-by-the-demo/new';
      const extents: FiemapExtent[] = [];
      const inode = tree.resolve(path);
      runSync(fs.fiemap(inode, 0, Number.MAX_SAFE_INTEGER, (extent) => extents.push(extent) > 0));
      const { blockSize, blocks } = runSync(fs.statfs());
      this.say(`\nwhere ${path} is:\n${mapText(extents, { size: inode.size, blockSize, deviceBytes: blocks * blockSize }, this.context.terminal)}`);
      return largest.path;
    } finally {
      device.close();
    }
  }
}

async function run(): Promise<void> {
  const root = findRoot();
  const context = createContext(processTerminal());
  mkdirSync(join(root, 'tmp'), { recursive: true });
  const image = join(root, 'tmp', 'node_modules.ext2');
  rmSync(image, { force: true });
  context.print('An ext2 image of this repository\'s node_modules, in TypeScript alone.\n\n');
  const source = await folderSource(join(root, 'node_modules'));
  for (const warning of source.warnings) context.warn(warning);
  const demo = new Demo(context, source, image);
  demo.build();
  demo.list();
  demo.readBack();
  demo.edit();
  demo.check();
  await demo.table();
  demo.picture();
  const here = relative(process.cwd(), image) || image;
  const command = `node ${relative(process.cwd(), join(dirname(fileURLToPath(import.meta.url)), 'main.js'))}`;
  context.print(`The image is ${here}. Try:\n  ${command} ls -l ${here}:/typescript\n  ${command} map ${here}:/typescript/lib/typescript.js\n  ${command} tar ${here}:/made-by-the-demo | tar -tv\n`);
}

await run();
