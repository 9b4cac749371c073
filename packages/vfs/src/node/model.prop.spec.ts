/** The facade over the memory driver against Node's own fs on a temporary folder: the same calls, the same answers. */
import * as host from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { memfs } from 'memfs';
import { createVfs } from '../index.js';
import { memoryFs } from '../testing/index.js';
import { nodeFs } from './index.js';

/** As much of fs as the commands use: what Node, memfs and the facade have in common. */
type Fs = Pick<
  typeof host,
  | 'writeFileSync' | 'appendFileSync' | 'readFileSync' | 'mkdirSync' | 'rmdirSync' | 'unlinkSync' | 'renameSync'
  | 'linkSync' | 'symlinkSync' | 'readlinkSync' | 'truncateSync' | 'readdirSync' | 'statSync' | 'lstatSync' | 'chmodSync'
  | 'rmSync' | 'copyFileSync' | 'accessSync' | 'existsSync' | 'realpathSync' | 'openSync' | 'closeSync' | 'readSync'
  | 'writeSync' | 'ftruncateSync' | 'fstatSync' | 'utimesSync'
>;

interface World {
  readonly fs: Fs;
  readonly root: string;
  readonly fds: (number | undefined)[];
}

interface Command {
  readonly name: string;
  readonly args: readonly unknown[];
  run(world: World): unknown;
}

const component = fc.constantFrom('a', 'b', 'c', 'd');
const path = fc
  .tuple(fc.array(component, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '', '', '', '', '', '/', '/.'))
  .map(([parts, end]) => parts.join('/') + end);
const data = fc.integer({ min: 0, max: 9000 }).map((n) => 'x'.repeat(n % 13) + 'y'.repeat(n % 4099));
const slot = fc.integer({ min: 0, max: 2 });
const at = (world: World, relative: string): string => `${world.root}/${relative}`;
const fdIn = (world: World, index: number): number => world.fds[index] ?? 999_999;

const command = <A extends readonly unknown[]>(
  name: string,
  args: { readonly [K in keyof A]: fc.Arbitrary<A[K]> },
  run: (world: World, ...args: A) => unknown,
): fc.Arbitrary<Command> =>
  fc.tuple(...(args as unknown as fc.Arbitrary<unknown>[])).map((values) => ({
    name,
    args: values,
    run: (world: World) => run(world, ...(values as unknown as A)),
  }));

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW } = host.constants;
const flags = fc
  .tuple(fc.constantFrom(O_RDONLY, O_WRONLY, O_RDWR), fc.subarray([O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW]))
  .map(([access, more]) => more.reduce((sum, flag) => sum | flag, access))
  // O_CREAT | O_DIRECTORY differs between kernels (made EINVAL in 6.4); O_EXCL without O_CREAT and O_RDONLY | O_TRUNC are undefined.
  .filter((f) => (f & (O_CREAT | O_DIRECTORY)) !== (O_CREAT | O_DIRECTORY))
  .filter((f) => (f & O_EXCL) === 0 || (f & O_CREAT) !== 0)
  .filter((f) => (f & O_TRUNC) === 0 || (f & 3) !== 0);

const statOf = (stat: host.Stats): unknown => ({
  mode: stat.mode,
  ...(stat.isDirectory() ? {} : { size: stat.size, nlink: stat.nlink }),
});

const treeCommands = [
  command<[string, string]>('writeFile', [path, data], (w, p, d) => w.fs.writeFileSync(at(w, p), d)),
  command<[string, string]>('writeFile', [path, data], (w, p, d) => w.fs.writeFileSync(at(w, p), d)),
  command<[string]>('mkdir', [path], (w, p) => w.fs.mkdirSync(at(w, p))),
  command<[string]>('mkdir', [path], (w, p) => w.fs.mkdirSync(at(w, p))),
  command<[string]>('mkdirs', [path], (w, p) => w.fs.mkdirSync(at(w, p), { recursive: true })?.slice(w.root.length)),
  command<[string, string]>('appendFile', [path, data], (w, p, d) => w.fs.appendFileSync(at(w, p), d)),
  command<[string, string]>('rename', [path, path], (w, p, q) => w.fs.renameSync(at(w, p), at(w, q))),
  command<[string, string]>('link', [path, path], (w, p, q) => w.fs.linkSync(at(w, p), at(w, q))),
  command<[string, string]>('symlink', [path, path], (w, p, q) => w.fs.symlinkSync(p, at(w, q))),
  command<[string, number]>('truncate', [path, fc.integer({ min: 0, max: 20_000 })], (w, p, n) => w.fs.truncateSync(at(w, p), n)),
  command<[string]>('rmdir', [path], (w, p) => w.fs.rmdirSync(at(w, p))),
  command<[string]>('unlink', [path], (w, p) => w.fs.unlinkSync(at(w, p))),
  command<[string, number]>('copyFile', [fc.tuple(path, path).map((two) => two.join(' ')), fc.constantFrom(0, 1)], (w, two, mode) => {
    const [p = '', q = ''] = two.split(' ');
    // libuv opens (and on failure removes) the target before it looks at what the source is.
    if (w.fs.statSync(at(w, p)).isDirectory()) return;
    w.fs.copyFileSync(at(w, p), at(w, q), mode);
  }),
  command<[string]>('rm', [path], (w, p) => w.fs.rmSync(at(w, p), { recursive: true })),
  command<[string, number]>('chmod', [path, fc.integer({ min: 0o400, max: 0o777 })], (w, p, m) => w.fs.chmodSync(at(w, p), m)),
];

const lookCommands = [
  command<[string]>('readFile', [path], (w, p) => w.fs.readFileSync(at(w, p), 'utf8')),
  command<[string]>('readdir', [path], (w, p) => (w.fs.readdirSync(at(w, p))).sort()),
  command<[string]>('stat', [path], (w, p) => statOf(w.fs.statSync(at(w, p)))),
  command<[string]>('lstat', [path], (w, p) => statOf(w.fs.lstatSync(at(w, p)))),
  command<[string]>('readlink', [path], (w, p) => w.fs.readlinkSync(at(w, p))),
  command<[string]>('realpath', [path], (w, p) => w.fs.realpathSync.native(at(w, p)).slice(w.root.length)),
  command<[string]>('exists', [path], (w, p) => w.fs.existsSync(at(w, p))),
  command<[string]>('access', [path], (w, p) => w.fs.accessSync(at(w, p), 4)),
];

const fdCommands = [
  command<[string, number, number]>('open', [path, flags, slot], (w, p, f, s) => {
    const old = w.fds[s];
    w.fds[s] = undefined;
    if (old !== undefined) w.fs.closeSync(old);
    w.fds[s] = w.fs.openSync(at(w, p), f, 0o640);
  }),
  command<[number, string, number]>('write', [slot, data, fc.integer({ min: -1, max: 20_000 })], (w, s, d, pos) =>
    w.fs.writeSync(fdIn(w, s), d, pos < 0 ? null : pos),
  ),
  command<[number, number]>('read', [slot, fc.integer({ min: -1, max: 9000 })], (w, s, pos) => {
    const buffer = Buffer.alloc(5000);
    const got = w.fs.readSync(fdIn(w, s), buffer, 0, 5000, pos < 0 ? null : pos);
    return buffer.toString('latin1', 0, got);
  }),
  command<[number, number]>('ftruncate', [slot, fc.integer({ min: 0, max: 9000 })], (w, s, n) => w.fs.ftruncateSync(fdIn(w, s), n)),
  command<[number]>('fstat', [slot], (w, s) => statOf(w.fs.fstatSync(fdIn(w, s)))),
  command<[number]>('close', [slot], (w, s) => {
    const fd = fdIn(w, s);
    w.fds[s] = undefined;
    w.fs.closeSync(fd);
  }),
];

const outcome = (run: () => unknown): unknown => {
  try {
    return { value: run() };
  } catch (error) {
    const { code, syscall } = error as { code?: string; syscall?: string };
    if (code === undefined) throw error;
    return { code, syscall };
  }
};

function tree(world: World, relative = ''): unknown {
  const here = at(world, relative);
  const stat = world.fs.lstatSync(here);
  if (stat.isDirectory()) {
    const names = (world.fs.readdirSync(here)).sort();
    return names.map((name) => [name, tree(world, relative === '' ? name : `${relative}/${name}`)]);
  }
  if (stat.isSymbolicLink()) return { link: world.fs.readlinkSync(here) };
  return { ...(statOf(stat) as object), data: world.fs.readFileSync(here, 'latin1') };
}

const closeAll = (world: World): void => {
  for (const fd of world.fds) if (fd !== undefined) world.fs.closeSync(fd);
};

describe('the facade and its models', () => {
  const umask = process.umask(0o022);
  afterAll(() => process.umask(umask));

  it("answers as Node's fs does on the host", () => {
    const base = host.mkdtempSync(join(host.realpathSync(tmpdir()), 'vfs-model-'));
    let runs = 0;
    try {
      fc.assert(
        fc.property(
          fc.constantFrom(true, false),
          fc.array(fc.oneof(...treeCommands, ...treeCommands, ...lookCommands, ...fdCommands), { minLength: 1, maxLength: 60 }),
          (peeks, commands) => {
            const root = join(base, String(runs++));
            host.mkdirSync(root);
            const real: World = { fs: host, root, fds: [] };
            const driver = memoryFs({ peeks });
            const ours: World = { fs: nodeFs(createVfs(driver, { inodesMax: 16, dentriesMax: 16 })), root: '', fds: [] };
            try {
              for (const one of commands) {
                const expected = outcome(() => one.run(real));
                const got = outcome(() => one.run(ours));
                expect({ name: one.name, args: one.args, got }).toEqual({ name: one.name, args: one.args, got: expected });
              }
              expect(tree(ours)).toEqual(tree(real));
            } finally {
              closeAll(real);
              closeAll(ours);
              host.rmSync(root, { recursive: true });
            }
          },
        ),
        { numRuns: 250 },
      );
    } finally {
      host.rmSync(base, { recursive: true, force: true });
    }
  });

  it('does what memfs does, where we succeed', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...treeCommands), { minLength: 1, maxLength: 40 }), (commands) => {
        const model: World = { fs: memfs().fs as unknown as Fs, root: '', fds: [] };
        const ours: World = { fs: nodeFs(createVfs(memoryFs())), root: '', fds: [] };
        for (const one of commands) {
          // memfs is laxer than POSIX about trailing slashes and follows links differently: those are Node's to judge.
          if (one.args.some((arg) => typeof arg === 'string' && /\/\.?( |$)/.test(arg)) || one.name === 'symlink') continue;
          // memfs holds even root to permission bits.
          if (one.name === 'chmod' && (Number(one.args[1]) & 0o700) !== 0o700) continue;
          if ('code' in (outcome(() => one.run(ours)) as object)) continue;
          expect([one.name, one.args, outcome(() => one.run(model))]).toMatchObject([one.name, one.args, {}]);
        }
        expect(bare(tree(ours))).toEqual(bare(tree(model)));
      }),
      { numRuns: 100 },
    );
  });
});

/** A tree without modes: memfs has no umask of ours. */
const bare = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, inner: unknown) => (key === 'mode' ? undefined : inner)));
