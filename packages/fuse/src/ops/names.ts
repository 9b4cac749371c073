/** LOOKUP, FORGET and what changes names: MKNOD, MKDIR, SYMLINK, LINK, UNLINK, RMDIR, RENAME, CREATE, TMPFILE; READLINK. */
import { FsError, type Io } from '@iomap/io';
import { bytesOfLatin1, checkAccess, isDirectory, R_OK, type Inode, type Name, type Vfs } from '@iomap/vfs';
import {
  FuseBatchForgetIn,
  FuseCreateIn,
  FuseEntryOut,
  FuseForgetIn,
  FuseForgetOne,
  FuseLinkIn,
  FuseMkdirIn,
  FuseMknodIn,
  FuseOpenOut,
  FuseRename2In,
  FuseRenameIn,
} from '../abi.js';
import { putNegative } from '../attr-out.js';
import type { Channel } from '../channel.js';
import { FOPEN_KEEP_CACHE } from '../protocol.js';
import { NO_REPLY, type Session } from '../session.js';
import { getCount } from '../wire.js';
import { changed, need, type Handler } from './handler.js';

const X_OK = 1;

/** The inode that a name leads to, referenced; undefined = there is none. */
function* child(session: Session, vfs: Vfs, dir: Inode, name: Name): Io<Inode | undefined> {
  if (name === '.') {
    // Asked for exported handles: what has no link left is not to be found again.
    if (dir.nlink === 0) return undefined;
    dir.refs++;
    return dir;
  }
  // From exported handles the kernel finds its way up.
  if (name === '..') return yield* session.vfs.parentOf(dir);
  return yield* vfs.childAt(dir, name);
}

export const lookup: Handler = function* (session, channel) {
  const dir = yield* session.hold(channel.nodeid);
  try {
    const name = channel.name(0);
    const found = yield* child(session, session.caller(channel), dir, name);
    if (found === undefined) {
      // "No such name" is worth remembering only where the kernel may skip us at the next step.
      if (session.style.entryValidSec === 0) throw new FsError('ENOENT');
      return putNegative(channel.reply, channel.replyView, channel.out, session.style);
    }
    try {
      return session.enter(channel, found);
    } finally {
      session.put(found);
    }
  } finally {
    session.put(dir);
  }
};

export const forget: Handler = function* (session, channel) {
  if (channel.has(FuseForgetIn.size)) yield* session.forget(channel.nodeid, channel.count(FuseForgetIn.offsets.nlookup));
  return NO_REPLY;
};

export const batchForget: Handler = function* (session, channel) {
  const { size, offsets } = FuseForgetOne;
  const room = Math.floor((channel.end - channel.at - FuseBatchForgetIn.size) / size);
  const count = Math.min(channel.u32(FuseBatchForgetIn.offsets.count), room);
  for (let i = 0; i < count; i++) {
    const at = channel.at + FuseBatchForgetIn.size + i * size;
    yield* session.forget(getCount(channel.view, at + offsets.nodeid), getCount(channel.view, at + offsets.nlookup));
  }
  return NO_REPLY;
};

export const readlink: Handler = function* (session, channel) {
  const inode = yield* session.hold(channel.nodeid);
  try {
    const target = bytesOfLatin1(yield* session.caller(channel).readlinkAt(inode));
    channel.reply.set(target, channel.out);
    return target.length;
  } finally {
    session.put(inode);
  }
};

/** What a request wants to make. */
interface Wanted {
  readonly name: Name;
  /** Type and permissions before the umask. */
  readonly mode: number;
  readonly umask: number;
  readonly rdev: number;
}

/** Makes a file in `dir`; the answer is referenced. */
function* make(session: Session, channel: Channel, dir: Inode, wanted: Wanted): Io<Inode> {
  const inode = yield* session.maker(channel, wanted.umask).createAt(dir, wanted.name, wanted.mode, wanted.rdev);
  yield* changed(session);
  return inode;
}

/** Makes what is wanted in the directory that the request names, and answers with it. */
function* makeEntry(session: Session, channel: Channel, wanted: Wanted): Io<number> {
  const dir = yield* session.hold(channel.nodeid);
  try {
    const inode = yield* make(session, channel, dir, wanted);
    try {
      return session.enter(channel, inode);
    } finally {
      session.put(inode);
    }
  } finally {
    session.put(dir);
  }
}

export const mknod: Handler = function* (session, channel) {
  need(channel, FuseMknodIn);
  const { offsets, size } = FuseMknodIn;
  return yield* makeEntry(session, channel, {
    name: channel.name(size),
    mode: channel.u32(offsets.mode),
    umask: channel.u32(offsets.umask),
    rdev: channel.u32(offsets.rdev),
  });
};

export const mkdir: Handler = function* (session, channel) {
  need(channel, FuseMkdirIn);
  const { offsets, size } = FuseMkdirIn;
  return yield* makeEntry(session, channel, {
    name: channel.name(size),
    mode: 0o040000 | (channel.u32(offsets.mode) & 0o7777),
    umask: channel.u32(offsets.umask),
    rdev: 0,
  });
};

export const symlink: Handler = function* (session, channel) {
  const dir = yield* session.hold(channel.nodeid);
  try {
    const inode = yield* session.maker(channel, 0).symlinkAt(dir, channel.name(0), channel.name(0, 1));
    try {
      yield* changed(session);
      return session.enter(channel, inode);
    } finally {
      session.put(inode);
    }
  } finally {
    session.put(dir);
  }
};

export const link: Handler = function* (session, channel) {
  need(channel, FuseLinkIn);
  const inode = yield* session.hold(channel.count(FuseLinkIn.offsets.oldnodeid));
  try {
    const dir = yield* session.hold(channel.nodeid);
    try {
      yield* session.caller(channel).linkAt(inode, dir, channel.name(FuseLinkIn.size));
      session.adopted(inode);
      yield* changed(session);
      return session.enter(channel, inode);
    } finally {
      session.put(dir);
    }
  } finally {
    session.put(inode);
  }
};

function* remove(session: Session, channel: Channel, isDir: boolean): Io<number> {
  const vfs = session.caller(channel);
  const dir = yield* session.hold(channel.nodeid);
  try {
    const name = channel.name(0);
    // Held, so that the kernel's own hold can be put in its place before the last link's inode is freed.
    const found = isDirectory(dir.mode) ? yield* session.vfs.childAt(dir, name) : undefined;
    try {
      if (isDir) yield* vfs.rmdirAt(dir, name);
      else yield* vfs.unlinkAt(dir, name);
    } finally {
      if (found !== undefined) {
        session.keepOrphan(found);
        session.put(found);
      }
    }
    yield* session.vfs.reap();
  } finally {
    session.put(dir);
  }
  yield* changed(session);
  return 0;
}

export const unlink: Handler = (session, channel) => remove(session, channel, false);
export const rmdir: Handler = (session, channel) => remove(session, channel, true);

function* move(session: Session, channel: Channel, argsSize: number, flags: number): Io<number> {
  const fromDir = yield* session.hold(channel.nodeid);
  try {
    const toDir = yield* session.hold(channel.count(FuseRenameIn.offsets.newdir));
    try {
      const from = channel.name(argsSize);
      const to = channel.name(argsSize, 1);
      const replaced = isDirectory(toDir.mode) ? yield* session.vfs.childAt(toDir, to) : undefined;
      try {
        yield* session.caller(channel).renameAt(fromDir, from, toDir, to, flags);
      } finally {
        if (replaced !== undefined) {
          session.keepOrphan(replaced);
          session.put(replaced);
        }
      }
      yield* session.vfs.reap();
    } finally {
      session.put(toDir);
    }
  } finally {
    session.put(fromDir);
  }
  yield* changed(session);
  return 0;
}

export const rename: Handler = function* (session, channel) {
  need(channel, FuseRenameIn);
  return yield* move(session, channel, FuseRenameIn.size, 0);
};

export const rename2: Handler = function* (session, channel) {
  need(channel, FuseRename2In);
  return yield* move(session, channel, FuseRename2In.size, channel.u32(FuseRename2In.offsets.flags));
};

/** Writes `fuse_open_out` behind an entry: no handle, and what the kernel has cached stays good. */
export function putOpen(channel: Channel, offset: number, flags: number): number {
  const at = channel.out + offset;
  channel.reply.fill(0, at, at + FuseOpenOut.size);
  channel.replyView.setUint32(at + FuseOpenOut.offsets.open_flags, flags, true);
  return FuseOpenOut.size;
}

/** Only asked where opening is our business: else the kernel makes (MKNOD) and opens by itself, with one message less. */
export const create: Handler = function* (session, channel) {
  if (session.wishes.statelessOpen) throw new FsError('ENOSYS');
  need(channel, FuseCreateIn);
  const { offsets, size } = FuseCreateIn;
  const length = yield* makeEntry(session, channel, {
    name: channel.name(size),
    mode: channel.u32(offsets.mode),
    umask: channel.u32(offsets.umask),
    rdev: 0,
  });
  return length + putOpen(channel, FuseEntryOut.size, FOPEN_KEEP_CACHE);
};

export const tmpfile: Handler = function* (session, channel) {
  need(channel, FuseCreateIn);
  if (session.fs.tmpfile === undefined) throw new FsError('EOPNOTSUPP');
  const { offsets } = FuseCreateIn;
  const dir = yield* session.hold(channel.nodeid);
  try {
    const mayLink = (channel.u32(offsets.flags) & 0o200) === 0; // not O_EXCL
    const maker = session.maker(channel, channel.u32(offsets.umask));
    const inode = yield* maker.tmpfileAt(dir, channel.u32(offsets.mode), mayLink);
    try {
      yield* changed(session);
      const length = session.enter(channel, inode);
      session.keepOrphan(inode);
      return length + putOpen(channel, FuseEntryOut.size, FOPEN_KEEP_CACHE);
    } finally {
      session.put(inode);
    }
  } finally {
    session.put(dir);
  }
};

/** access(2) and chdir(2). Where the kernel checks permissions it need not ask. */
export const access: Handler = function* (session, channel) {
  const { permissions } = session.options;
  if (permissions === 'kernel' || permissions === 'auto') throw new FsError('ENOSYS');
  const mask = channel.u32(0) & (R_OK | 2 | X_OK);
  const inode = yield* session.hold(channel.nodeid);
  try {
    checkAccess(session.caller(channel).cred, inode, mask);
    return 0;
  } finally {
    session.put(inode);
  }
};
