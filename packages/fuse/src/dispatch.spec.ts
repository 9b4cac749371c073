/** Encoded requests against a session over an ext2 image in memory: what the kernel would see, without one. */
import { runSync } from '@iomap/io';
import { join, Kernel, struct, text, viewOf } from '../test/kernel.js';
import { FuseAttr, FuseAttrOut, FuseEntryOut, FuseInitIn, FuseInitOut, FuseMknodIn, FuseReadIn, FuseSetattrIn, FuseWriteIn } from './abi.js';
import { FATTR, INIT, OP } from './protocol.js';

const ENOENT = -2;
const EEXIST = -17;
const EINVAL = -22;
const ENOSYS = -38;
const ENODATA = -61;

const words = (...values: number[]): Uint8Array => {
  const bytes = new Uint8Array(values.length * 8);
  values.forEach((value, i) => new DataView(bytes.buffer).setBigUint64(i * 8, BigInt(value), true));
  return bytes;
};
const modeOf = (attr: Uint8Array): number => FuseAttr.at(attr).mode;

describe('INIT', () => {
  it('answers with what both can, and never with more', () => {
    const out = FuseInitOut.at(new Kernel().init());
    expect([out.major, out.minor]).toEqual([7, 45]);
    expect(out.max_write).toBe(131_072);
    expect(out.max_pages).toBe(32);
    expect(out.flags & INIT.NO_OPEN_SUPPORT).not.toBe(0);
    expect(out.flags & INIT.WRITEBACK_CACHE).toBe(0);
    const few = FuseInitOut.at(new Kernel().init(INIT.ASYNC_READ | INIT.MAX_PAGES, 31));
    expect([few.minor, few.flags]).toEqual([31, INIT.ASYNC_READ | INIT.MAX_PAGES]);
  });

  it('offers its own version to a kernel with a newer major one, and refuses one that is too old', () => {
    const args = struct(FuseInitIn.size);
    Object.assign(FuseInitIn.at(args), { major: 8, minor: 0 });
    const newer = new Kernel();
    expect(FuseInitOut.at(newer.done(OP.INIT, 0, args)).major).toBe(7);
    expect(newer.session.agreed).toBeUndefined();
    FuseInitIn.at(args).major = 7;
    FuseInitIn.at(args).minor = 30;
    expect(() => new Kernel().ask(OP.INIT, 0, args)).toThrow();
  });
});

describe('names', () => {
  it('makes, finds, and remembers what is not there', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a');
    expect(kernel.lookup(1, 'a')).toBe(node);
    expect(kernel.lookup(1, 'b')).toBe(0);
    expect(FuseEntryOut.at(kernel.done(OP.LOOKUP, 1, text('b'))).entry_valid).toBeGreaterThan(1000);
    expect(kernel.lookup(1, '.')).toBe(1);
    const mknod = join(struct(FuseMknodIn.size), text('a'));
    expect(kernel.error(OP.MKNOD, 1, mknod)).toBe(EEXIST);
    expect(kernel.error(OP.LOOKUP, node, text('x'))).toBe(-20);
    expect(kernel.error(OP.LOOKUP, 1, text('x'.repeat(256)))).toBe(-36);
  });

  it('gives new files the owner of the request', () => {
    const kernel = new Kernel();
    const args = join(struct(FuseMknodIn.size), text('mine'));
    FuseMknodIn.at(args).mode = 0o100666;
    FuseMknodIn.at(args).umask = 0o027;
    const entry = FuseEntryOut.at(kernel.done(OP.MKNOD, 1, args, 1000));
    const attr = FuseAttr.at(entry.attr);
    expect([attr.uid, attr.gid, attr.mode]).toEqual([1000, 1000, 0o100640]);
  });

  it('counts look-ups and holds an unlinked inode until it is forgotten', () => {
    const kernel = new Kernel();
    const { session } = kernel;
    const node = kernel.make(1, 'a');
    kernel.lookup(1, 'a');
    expect(session.lookups.get(node)).toBe(2);
    const free = runSync(session.fs.statfs()).filesFree;
    kernel.done(OP.UNLINK, 1, text('a'));
    expect(session.orphanCount).toBe(1);
    expect(modeOf(FuseAttrOut.at(kernel.done(OP.GETATTR, node, struct(16))).attr)).toBe(0o100644);
    expect(kernel.ask(OP.FORGET, node, words(1))).toBeUndefined();
    expect(runSync(session.fs.statfs()).filesFree).toBe(free);
    expect(kernel.ask(OP.BATCH_FORGET, 0, join(words(1), words(node, 1)))).toBeUndefined();
    expect([session.orphanCount, session.lookups.size]).toEqual([0, 0]);
    expect(runSync(session.fs.statfs()).filesFree).toBe(free + 1);
  });

  it('takes back what the kernel did not hear', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a');
    kernel.make(1, 'b');
    const read = struct(FuseReadIn.size);
    FuseReadIn.at(read).size = 4096;
    kernel.done(OP.READDIRPLUS, 1, read);
    expect(kernel.session.lookups.get(node)).toBe(2);
    runSync(kernel.session.takeBack(kernel.channel));
    expect(kernel.session.lookups.get(node)).toBe(1);
    kernel.lookup(1, 'a');
    runSync(kernel.session.takeBack(kernel.channel));
    expect([kernel.session.lookups.get(node), kernel.session.lookups.size]).toEqual([1, 2]);
  });

  it('holds what a rename replaces', () => {
    const kernel = new Kernel();
    kernel.make(1, 'a');
    const b = kernel.make(1, 'b');
    kernel.done(OP.RENAME, 1, join(words(1), text('a', 'b')));
    expect(kernel.session.orphanCount).toBe(1);
    expect(kernel.error(OP.GETATTR, b, struct(16))).toBe(0);
    const noReplace = join(words(1, 1), text('b', 'c'));
    kernel.done(OP.RENAME2, 1, noReplace);
    expect(kernel.error(OP.RENAME2, 1, join(words(1, 1), text('none', 'c')))).toBe(ENOENT);
  });
});

describe('data', () => {
  it('writes and reads, aligned and not', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a');
    const data = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    const write = struct(FuseWriteIn.size);
    Object.assign(FuseWriteIn.at(write), { offset: 123, size: data.length });
    const out = kernel.done(OP.WRITE, node, join(write, data));
    expect(viewOf(out).getUint32(0, true)).toBe(100_000);
    const read = struct(FuseReadIn.size);
    Object.assign(FuseReadIn.at(read), { offset: 0, size: 131_072 });
    expect(Buffer.compare(kernel.done(OP.READ, node, read), join(new Uint8Array(123), data))).toBe(0);
    FuseReadIn.at(read).offset = 200_000;
    expect(kernel.done(OP.READ, node, read).length).toBe(0);
  });

  it('refuses requests that are cut short', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a');
    expect(kernel.error(OP.READ, node, struct(8))).toBe(EINVAL);
    const write = struct(FuseWriteIn.size);
    FuseWriteIn.at(write).size = 100;
    expect(kernel.error(OP.WRITE, node, join(write, struct(99)))).toBe(EINVAL);
    expect(kernel.channel.begin(39)).toBe(false);
  });

  it('opens without being asked, and says so', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a');
    expect(kernel.error(OP.OPEN, node, struct(8))).toBe(ENOSYS);
    expect(kernel.error(OP.OPENDIR, 1, struct(8))).toBe(ENOSYS);
    expect(kernel.error(OP.FLUSH, node, struct(24))).toBe(ENOSYS);
    const checked = new Kernel({ permissions: 'server' });
    const own = checked.make(1, 'a');
    expect(checked.error(OP.OPEN, own, struct(8))).toBe(0);
  });

  it('takes times, sizes and privileges', () => {
    const kernel = new Kernel();
    const node = kernel.make(1, 'a', 0o106755);
    const args = struct(FuseSetattrIn.size);
    const set = FuseSetattrIn.at(args);
    set.valid = FATTR.SIZE | FATTR.MTIME | FATTR.KILL_SUIDGID;
    set.size = 5000;
    set.mtime = 0xffff_ffff_ffff_ffffn; // one second before 1970
    set.mtimensec = 5;
    const attr = FuseAttr.at(FuseAttrOut.at(kernel.done(OP.SETATTR, node, args)).attr);
    expect([attr.size, attr.mode, attr.mtime, attr.mtimensec]).toEqual([5000, 0o100755, 0xffff_ffff_ffff_ffffn, 5]);
    set.valid = FATTR.SIZE;
    set.size = 2 ** 52;
    expect(kernel.error(OP.SETATTR, node, args)).toBe(-27);
  });
});

describe('directories', () => {
  it('lists in parts, each from the cookie where the last one ended', () => {
    const kernel = new Kernel();
    const names = Array.from({ length: 300 }, (_, i) => `name-${i}-${'x'.repeat(i % 50)}`);
    for (const name of names) kernel.make(1, name);
    for (const op of [OP.READDIR, OP.READDIRPLUS]) {
      const seen: string[] = [];
      const nodes = new Map<string, number>();
      let cookie = 0;
      for (let rounds = 0; rounds < 1000; rounds++) {
        const read = struct(FuseReadIn.size);
        Object.assign(FuseReadIn.at(read), { offset: cookie, size: 1000 });
        const list = kernel.done(op, 1, read);
        if (list.length === 0) break;
        expect(list.length).toBeLessThanOrEqual(1000);
        const view = viewOf(list);
        for (let at = 0; at < list.length; ) {
          const head = op === OP.READDIR ? 0 : FuseEntryOut.size;
          const length = view.getUint32(at + head + 16, true);
          const name = Buffer.from(list.subarray(at + head + 24, at + head + 24 + length)).toString('latin1');
          seen.push(name);
          if (head > 0) nodes.set(name, Number(view.getBigUint64(at, true)));
          cookie = Number(view.getBigUint64(at + head + 8, true));
          at += Math.ceil((head + 24 + length) / 8) * 8;
        }
      }
      expect(seen.sort()).toEqual(['.', '..', 'lost+found', ...names].sort());
      if (op === OP.READDIRPLUS) {
        expect(nodes.get('.')).toBe(0);
        expect(nodes.get('name-0-')).toBe(kernel.lookup(1, 'name-0-'));
      }
    }
  });
});

describe('the rest', () => {
  it('extended attributes: sizes first, then values', () => {
    const kernel = new Kernel();
    kernel.init();
    const node = kernel.make(1, 'a');
    const value = text('hello');
    const head = new Uint8Array(16);
    new DataView(head.buffer).setUint32(0, value.length, true);
    kernel.done(OP.SETXATTR, node, join(head, text('user.x'), value));
    const ask = (size: number): Uint8Array => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setUint32(0, size, true);
      return bytes;
    };
    expect(viewOf(kernel.done(OP.GETXATTR, node, join(ask(0), text('user.x')))).getUint32(0, true)).toBe(6);
    expect(kernel.done(OP.GETXATTR, node, join(ask(100), text('user.x')))).toEqual(Uint8Array.from(value));
    expect(kernel.error(OP.GETXATTR, node, join(ask(3), text('user.x')))).toBe(-34);
    expect(kernel.error(OP.GETXATTR, node, join(ask(100), text('security.capability')))).toBe(ENODATA);
    expect(kernel.error(OP.GETXATTR, node, join(ask(100), text('user.none')))).toBe(ENODATA);
    expect(Buffer.from(kernel.done(OP.LISTXATTR, node, ask(100))).toString()).toBe('user.x\0');
    kernel.done(OP.REMOVEXATTR, node, text('user.x'));
    expect(kernel.done(OP.LISTXATTR, node, ask(100)).length).toBe(0);
  });

  it('is silent where no answer is wanted, and ENOSYS for what it does not know', () => {
    const kernel = new Kernel();
    expect(kernel.ask(OP.INTERRUPT, 0, words(2))).toBeUndefined();
    expect(kernel.ask(OP.FORGET, 99, words(1))).toBeUndefined();
    expect(kernel.error(4095, 1)).toBe(ENOSYS);
    expect(kernel.error(OP.SETLK, 1, struct(48))).toBe(ENOSYS);
    expect(kernel.error(OP.GETATTR, 4_000_000, struct(16))).toBeLessThan(0);
  });
});
