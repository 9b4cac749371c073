/** Mounts for tests: a server built from the sources, images by mke2fs, and a clean-up that leaves no mount behind. */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { provideCommand } from '@iomap/conformance';
import { buildSync } from 'esbuild';
import { parseMountOptions, startServer, unmount, type StartedServer } from '../src/index.js';

const hasTool = (name: string): boolean => spawnSync(name, ['-V'], { stdio: 'ignore' }).error === undefined;

function canUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const missing = [
  ...(process.getuid?.() === 0 ? [] : ['root']),
  ...(canUse('/dev/fuse') ? [] : ['/dev/fuse']),
  ...['mke2fs', 'e2fsck', 'mount'].filter((tool) => !hasTool(tool)),
];

/** A suite that needs root, /dev/fuse and e2fsprogs: skipped without them, but in CI, where it fails. */
export const describeMounted = (name: string, body: () => void): void => {
  if (missing.length === 0) describe(name, body);
  else if (process.env['CI'] === 'true') describe(name, () => it(`needs ${missing.join(', ')}`, () => expect(missing).toEqual([])));
  else describe.skip(`${name} (needs ${missing.join(', ')})`, body);
};

/** A test that needs one more program. */
export const itWith = (tool: string, packageName: string = tool): typeof it => {
  const found = provideCommand(tool, packageName) !== undefined;
  return found || process.env['CI'] === 'true' ? it : it.skip;
};

/** Runs a command; its standard output. @throws with what it said when it fails */
export function sh(command: string, options: { readonly cwd?: string; readonly fails?: boolean; readonly env?: NodeJS.ProcessEnv } = {}): string {
  const result: SpawnSyncReturns<string> = spawnSync('bash', ['-ec', command], { encoding: 'utf8', cwd: options.cwd, env: options.env, maxBuffer: 2 ** 27 });
  if (result.status !== 0 && options.fails !== true) {
    throw new Error(`${command}: ${result.status ?? result.signal ?? ''}\n${result.stdout}${result.stderr}`);
  }
  return result.stdout + (options.fails === true ? result.stderr : '');
}

export class Bench {
  readonly dir = mkdtempSync(join(tmpdir(), 'iomap-fuse-'));
  readonly image = join(this.dir, 'image.img');
  readonly mnt = join(this.dir, 'mnt');
  readonly loop = join(this.dir, 'loop');
  /** Folders of inputs that tests share, by what they are for: below `dir`. */
  readonly inputs = new Map<object, string>();
  readonly #program = join(this.dir, 'server.mjs');
  server: StartedServer | undefined;

  constructor() {
    mkdirSync(this.mnt);
    mkdirSync(this.loop);
    buildSync({
      entryPoints: [join(__dirname, '../src/server-main.ts')],
      outfile: this.#program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      conditions: ['@iomap/source'],
      logLevel: 'error',
    });
  }

  /** A new image, by mke2fs. */
  format(sizeMib: number, args = ''): void {
    sh(`rm -f '${this.image}'; truncate -s ${sizeMib}M '${this.image}'; mke2fs -q -F -t ext2 ${args} '${this.image}'`);
  }

  async mount(options = ''): Promise<StartedServer> {
    this.server = await startServer({
      image: this.image,
      dir: this.mnt,
      options: { ...parseMountOptions(options), writebackIntervalMs: 500 },
      program: this.#program,
    });
    return this.server;
  }

  async unmount(): Promise<void> {
    await unmount(this.mnt);
    this.server = undefined;
  }

  /** `e2fsck -fn` must find nothing. */
  check(): void {
    sh(`e2fsck -fn '${this.image}' 2>&1`);
  }

  /** Runs a command in the kernel's own mount of the image; undefined where there are no loop devices. */
  inKernel(command: string): string | undefined {
    const mounted = spawnSync('mount', ['-o', 'loop', this.image, this.loop], { encoding: 'utf8' });
    if (mounted.status !== 0) {
      if (process.env['CI'] === 'true') throw new Error(mounted.stderr);
      return undefined;
    }
    try {
      return sh(command, { cwd: this.loop });
    } finally {
      sh(`umount '${this.loop}'`);
    }
  }

  /** Ends what a failed test has left. */
  release(): void {
    for (const point of [this.mnt, this.loop]) spawnSync('umount', ['-i', '-l', point], { stdio: 'ignore' });
    if (this.server !== undefined && this.server.pid > 0) {
      try {
        process.kill(this.server.pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    this.server = undefined;
  }

  /** Leaves nothing behind. */
  dispose(): void {
    this.release();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Facts of a tree, one line a file, for comparison: path, type, mode, owner, size, links, times, target, content. */
export const LISTING = `find . -path ./lost+found -prune -o -printf '%P %y %m %U:%G %s %n %T@ %l\\n' | sort; find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 -r sha1sum`;
