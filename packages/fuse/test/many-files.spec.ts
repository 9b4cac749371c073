/** What a server remembers of many files: tables that follow what the kernel knows, caches with a bound, nothing after forget. */
import { FuseBatchForgetIn, FuseDirentplus, FuseEntryOut, FuseForgetOne, FuseReadIn } from '../src/abi.js';
import { OP } from '../src/protocol.js';
import { Kernel, struct, text } from './kernel.js';

const FOLDERS = 20;
const PER_FOLDER = 1000;
const INODES_MAX = 2048;
/** The bound is kept between operations that find something to let go of: a few dirty ones may be over it for a moment. */
const INODES_BOUND = INODES_MAX * 1.1;

const S_IFDIR = 0o040000;

/** Forgets `nodes`, each told `times`, as the kernel does when it drops its caches: many to a message. */
function forget(kernel: Kernel, nodes: readonly number[], times = 1): void {
  for (let from = 0; from < nodes.length; from += 1000) {
    const part = nodes.slice(from, from + 1000);
    const args = struct(FuseBatchForgetIn.size + part.length * FuseForgetOne.size);
    FuseBatchForgetIn.at(args).count = part.length;
    part.forEach((node, i) => {
      const one = FuseForgetOne.at(args, FuseBatchForgetIn.size + i * FuseForgetOne.size);
      one.nodeid = node;
      one.nlookup = times;
    });
    expect(kernel.ask(OP.BATCH_FORGET, 0, args)).toBeUndefined();
  }
}

/** READDIRPLUS to the end: the nodes that it told of. */
function list(kernel: Kernel, folder: number): number[] {
  const nodes: number[] = [];
  for (let cookie = 0; ; ) {
    const args = struct(FuseReadIn.size);
    FuseReadIn.at(args).offset = cookie;
    FuseReadIn.at(args).size = 65_536;
    const records = kernel.done(OP.READDIRPLUS, folder, args);
    if (records.length === 0) return nodes;
    for (let at = 0; at < records.length; ) {
      const entry = FuseEntryOut.at(records, at);
      if (entry.nodeid !== 0) nodes.push(entry.nodeid);
      // `off` and `namelen` of the directory entry behind the 128 bytes of the node's.
      const view = new DataView(records.buffer, records.byteOffset + at + FuseEntryOut.size);
      cookie = Number(view.getBigUint64(8, true));
      at += Math.ceil((FuseDirentplus.size + view.getUint32(16, true)) / 8) * 8;
    }
  }
}

describe('20,000 files', () => {
  it('made, walked and forgotten: what is kept follows, and nothing stays', () => {
    const kernel = new Kernel({}, { sizeBytes: 64 * 2 ** 20, inodes: 24_000, inodesMax: INODES_MAX });
    kernel.init();
    const { session } = kernel;
    const cached = (): number => session.vfs.core.inodes.count;
    const folders: number[] = [];
    const files: number[] = [];
    for (let f = 0; f < FOLDERS; f++) {
      const folder = kernel.make(1, `d${f}`, S_IFDIR | 0o755);
      folders.push(folder);
      for (let i = 0; i < PER_FOLDER; i++) files.push(kernel.make(folder, `file-${i}`));
      expect(cached()).toBeLessThanOrEqual(INODES_BOUND);
    }
    const known = FOLDERS * (PER_FOLDER + 1);
    expect(session.lookups.size).toBe(known);
    // Twelve bytes a slot, at most four times as many slots as entries, and never as many as it had once.
    expect(session.lookups.bytes).toBeLessThan(known * 12 * 4);
    const walked = folders.flatMap((folder) => list(kernel, folder));
    expect(new Set(walked)).toEqual(new Set(files));
    expect(session.lookups.size).toBe(known);
    expect(cached()).toBeLessThanOrEqual(INODES_BOUND);
    // Told twice: once forgotten, all are known still.
    forget(kernel, walked);
    expect(session.lookups.size).toBe(known);
    // Removed while the kernel knows them: each is held until it is forgotten, and not longer.
    const [first = 0] = folders;
    for (let i = 0; i < 100; i++) kernel.done(OP.UNLINK, first, text(`file-${i}`));
    expect(session.orphanCount).toBe(100);
    forget(kernel, files);
    forget(kernel, folders);
    expect([session.lookups.size, session.orphanCount]).toEqual([0, 0]);
    expect(session.lookups.bytes).toBeLessThanOrEqual(1024 * 12);
    expect(cached()).toBeLessThanOrEqual(INODES_BOUND);
    // All can be had again, and no inode has a reference but the root's.
    expect(kernel.lookup(first, 'file-100')).toBe(files[100]);
    forget(kernel, [files[100] ?? 0]);
    let held = 0;
    for (const node of [...files, ...folders]) held += session.vfs.core.inodes.peek(node)?.refs ?? 0;
    expect(held).toBe(0);
  });
});
