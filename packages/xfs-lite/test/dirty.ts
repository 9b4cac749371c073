/** Images with a dirty log: a busy workload on a kernel mount that is shut down in the middle of it. */
import { loopMount, oracle, poolBytes, random, runTool, type Random } from '@iomap/conformance';
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { mkfsXfs } from './driver.js';

export interface DirtyOptions {
  readonly seed: number;
  readonly args: readonly string[];
  readonly ops: number;
  readonly sizeBytes?: number;
  /** Write the log out before the shutdown. */
  readonly flushLog: boolean;
}

class Workload {
  readonly #dir: string;
  readonly #random: Random;
  readonly #files: string[] = [];
  readonly #dirs: string[] = [''];
  readonly #reflink: boolean;
  readonly open: number[] = [];
  #next = 0;

  constructor(dir: string, seed: number, reflink: boolean) {
    this.#dir = dir;
    this.#random = random(seed);
    this.#reflink = reflink;
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }

  #name(): string {
    return `${this.#random.pick(this.#dirs)}/${this.#random.pick(['f', 'name', 'x'.repeat(this.#random.below(120))])}-${this.#next++}`;
  }

  #write(name: string, isSync: boolean): void {
    const r = this.#random;
    const fd = openSync(this.#path(name), 'a+');
    const file = openSync(this.#path(name), 'r+');
    for (let i = r.below(6); i >= 0; i--) writeSync(file, poolBytes(r.below(1000), 100 + r.below(30_000)), 0, 100, r.below(400_000));
    if (r.below(6) === 0) ftruncateSync(file, r.below(300_000));
    if (isSync) fsyncSync(file);
    closeSync(file);
    closeSync(fd);
  }

  step(): void {
    const r = this.#random;
    const kind = r.below(20);
    const file = this.#files.length > 0 ? r.pick(this.#files) : undefined;
    if (kind < 7 || file === undefined) {
      const name = this.#name();
      this.#write(name, r.below(8) === 0);
      this.#files.push(name);
    } else if (kind < 9) {
      this.#write(file, r.below(4) === 0);
    } else if (kind < 12) {
      this.#files.splice(this.#files.indexOf(file), 1);
      if (r.below(5) === 0) this.open.push(openSync(this.#path(file), 'r'));
      unlinkSync(this.#path(file));
    } else if (kind < 13) {
      const name = this.#name();
      renameSync(this.#path(file), this.#path(name));
      this.#files.splice(this.#files.indexOf(file), 1, name);
    } else if (kind < 14) {
      const name = this.#name();
      mkdirSync(this.#path(name));
      this.#dirs.push(name);
      for (let i = r.below(150); i > 0; i--) closeSync(openSync(this.#path(`${name}/entry-${i}`), 'w'));
    } else if (kind < 15) {
      symlinkSync('s'.repeat(1 + r.below(900)), this.#path(this.#name()));
    } else if (kind < 16) {
      const name = this.#name();
      linkSync(this.#path(file), this.#path(name));
      this.#files.push(name);
    } else if (kind < 17) {
      this.#xattrs(file);
    } else if (kind < 18 && this.#reflink) {
      const name = this.#name();
      runTool('cp', ['--reflink=auto', this.#path(file), this.#path(name)], { expect: [0] });
      this.#files.push(name);
    } else if (kind < 19) {
      const name = this.#name();
      mkdirSync(this.#path(name));
      rmdirSync(this.#path(name));
    } else {
      const io = [`falloc ${r.below(100)}k 300k`, `fpunch ${r.below(60)}k 40k`, 'fcollapse 0 64k', 'finsert 64k 64k'];
      oracle('xfs-io').run(['-c', r.pick(io), this.#path(file)]);
    }
  }

  #xattrs(file: string): void {
    const r = this.#random;
    let dump = `# file: ${this.#path(file)}\n`;
    for (let i = 1 + r.below(12); i > 0; i--) dump += `user.a${r.below(30)}=0x${Buffer.from(poolBytes(r.below(1000), r.below(r.below(4) === 0 ? 9000 : 200))).toString('hex')}\n`;
    oracle('setfattr').run(['--restore=-'], { input: dump });
  }
}

/** Makes an image whose log has to be replayed. */
export function makeDirty(image: string, options: DirtyOptions): void {
  mkfsXfs(image, options.sizeBytes ?? 320 * 2 ** 20, options.args);
  const mounted = loopMount(image, { type: 'xfs' });
  let work: Workload | undefined;
  try {
    work = new Workload(mounted.dir, options.seed, !options.args.join(' ').includes('reflink=0'));
    for (let n = 0; n < options.ops; n++) work.step();
    oracle('xfs-io').run(['-x', '-c', options.flushLog ? 'shutdown -f' : 'shutdown', mounted.dir], { expect: [0] });
  } finally {
    for (const fd of work?.open ?? []) closeSync(fd);
    mounted.unmount();
  }
}
