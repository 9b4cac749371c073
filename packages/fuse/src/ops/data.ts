/** What concerns open files: OPEN, READ, WRITE, FLUSH, RELEASE, FSYNC, LSEEK, FALLOCATE, COPY_FILE_RANGE, BMAP. */
import { FsError, isCode, type Io } from '@iomap/io';
import { checkAccess, FS_APPEND_FL, isRegular, O_APPEND, O_NOATIME, R_OK, W_OK, type Inode } from '@iomap/vfs';
import {
  FuseBmapIn,
  FuseBmapOut,
  FuseCopyFileRangeIn,
  FuseCopyFileRangeOut,
  FuseFallocateIn,
  FuseFsyncIn,
  FuseLseekIn,
  FuseLseekOut,
  FuseOpenIn,
  FuseReadIn,
  FuseWriteIn,
  FuseWriteOut,
} from '../abi.js';
import type { Channel } from '../channel.js';
import {
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  FUSE_FSYNC_FDATASYNC,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
} from '../protocol.js';
import type { Session } from '../session.js';
import { putCount } from '../wire.js';
import { killPrivileges } from './attrs.js';
import { changed, fileOf, need, syncAll, type Handler } from './handler.js';
import { putOpen } from './names.js';

const R = FuseReadIn.offsets;
const W = FuseWriteIn.offsets;

/**
 * Opening is stateless: ENOSYS, said once, tells the kernel to open without us (it has checked permissions). Where we
 * check them, OPEN is that check.
 */
export const open: Handler = function* (session, channel) {
  if (session.wishes.statelessOpen) throw new FsError('ENOSYS');
  need(channel, FuseOpenIn);
  const flags = channel.u32(FuseOpenIn.offsets.flags);
  const accessMode = flags & 3;
  const mask = (accessMode !== 1 ? R_OK : 0) | (accessMode !== 0 ? W_OK : 0);
  const inode = yield* session.hold(channel.nodeid);
  try {
    checkAccess(session.caller(channel).cred, inode, mask);
    if ((inode.flags & FS_APPEND_FL) !== 0 && accessMode !== 0 && (flags & O_APPEND) === 0) throw new FsError('EPERM');
    if ((channel.u32(FuseOpenIn.offsets.open_flags) & FUSE_OPEN_KILL_SUIDGID) !== 0) yield* killPrivileges(session, channel, inode);
    return putOpen(channel, 0, FOPEN_KEEP_CACHE);
  } finally {
    session.put(inode);
  }
};

export const opendir: Handler = function* (session, channel) {
  if (session.wishes.statelessOpen) throw new FsError('ENOSYS');
  const inode = yield* session.hold(channel.nodeid);
  try {
    checkAccess(session.caller(channel).cred, inode, R_OK);
    return putOpen(channel, 0, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR);
  } finally {
    session.put(inode);
  }
};

export const read: Handler = function* (session, channel) {
  need(channel, FuseReadIn);
  const pos = channel.count(R.offset);
  const length = Math.min(channel.u32(R.size), channel.dataMax);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const file = fileOf(inode, channel.u32(R.flags) & O_NOATIME);
    const into = channel.reply.subarray(channel.out, channel.out + length);
    let done = yield* session.vfs.readAt(file, into, pos);
    while (done < length && pos + done < inode.size) {
      const more = yield* session.vfs.readAt(file, into.subarray(done), pos + done);
      if (more === 0) break;
      done += more;
    }
    return done;
  } finally {
    session.put(inode);
  }
};

/**
 * Writes all of `bytes`. What was written before a failure counts, and the next call has the failure; but for what the kernel
 * writes from its cache, where nobody makes that next call: there the failure counts.
 */
function* writeAll(session: Session, inode: Inode, bytes: Uint8Array, at: { pos: number; whole: boolean }): Io<number> {
  const file = fileOf(inode);
  let done = 0;
  while (done < bytes.length) {
    try {
      const part = done === 0 ? bytes : bytes.subarray(done);
      const more = yield* session.vfs.writeAt(file, part, at.pos + done);
      if (more === 0) throw new FsError('EIO', { why: 'nothing was written' });
      done += more;
    } catch (error) {
      if (done === 0 || at.whole || !(error instanceof FsError)) throw error;
      break;
    }
  }
  return done;
}

export const write: Handler = function* (session, channel) {
  need(channel, FuseWriteIn);
  const size = channel.u32(W.size);
  if (!channel.has(FuseWriteIn.size + size)) throw new FsError('EINVAL', { why: 'a WRITE is cut short' });
  const writeFlags = channel.u32(W.write_flags);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const pos = channel.count(W.offset);
    const fromCache = (writeFlags & FUSE_WRITE_CACHE) !== 0;
    if ((inode.flags & FS_APPEND_FL) !== 0) {
      // From the kernel's cache come whole pages, by whoever has the file open: what grows the file is an append.
      const appends = fromCache ? pos + size > inode.size : (channel.u32(W.flags) & O_APPEND) !== 0;
      if (!appends) throw new FsError('EPERM');
    }
    if ((writeFlags & FUSE_WRITE_KILL_SUIDGID) !== 0) yield* killPrivileges(session, channel, inode);
    const at = { pos, whole: fromCache };
    const done = yield* writeAll(session, inode, channel.bytes(FuseWriteIn.size, size), at);
    yield* changed(session);
    putCount(channel.replyView, channel.out + FuseWriteOut.offsets.size, done);
    return FuseWriteOut.size;
  } finally {
    session.put(inode);
  }
};

/** Nothing is kept per open file, so there is nothing to flush: said once, the kernel asks no more. */
 
export const flush: Handler = function* () {
  throw new FsError('ENOSYS');
};

 
export const release: Handler = function* () {
  return 0;
};

export const fsync: Handler = function* (session, channel) {
  need(channel, FuseFsyncIn);
  const dataOnly = (channel.u32(FuseFsyncIn.offsets.fsync_flags) & FUSE_FSYNC_FDATASYNC) !== 0;
  const inode = yield* session.hold(channel.nodeid);
  try {
    yield* session.vfs.fsyncAt(inode, dataOnly);
    return 0;
  } finally {
    session.put(inode);
  }
};

/** The root's also writes everything: `iomap umount` learns so whether all is well, while it can still say. */
export const fsyncdir: Handler = function* (session, channel) {
  if (session.inoOf(channel.nodeid) === session.style.rootIno) return yield* syncfs(session, channel);
  return yield* fsync(session, channel);
};

export const syncfs: Handler = function* (session) {
  if (!session.fs.readOnly) yield* syncAll(session);
  return 0;
};

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export const lseek: Handler = function* (session, channel) {
  need(channel, FuseLseekIn);
  const { offsets } = FuseLseekIn;
  const whence = channel.u32(offsets.whence);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError('EINVAL');
  const inode = yield* session.hold(channel.nodeid);
  try {
    const pos = yield* session.vfs.seekAt(inode, channel.count(offsets.offset), whence === SEEK_DATA ? 'data' : 'hole');
    putCount(channel.replyView, channel.out, pos);
    return FuseLseekOut.size;
  } finally {
    session.put(inode);
  }
};

const FALLOC_KEEP_SIZE = 0x01;
const FALLOC_PUNCH_HOLE = 0x02;
const FALLOC_ZERO_RANGE = 0x10;

export const fallocate: Handler = function* (session, channel) {
  // Said once, the kernel answers EOPNOTSUPP by itself, as Linux's driver of such a format does.
  if (session.fs.fallocate === undefined) throw new FsError('ENOSYS');
  need(channel, FuseFallocateIn);
  const { offsets } = FuseFallocateIn;
  const mode = channel.u32(offsets.mode);
  if ((mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0) throw new FsError('EOPNOTSUPP');
  const inode = yield* session.hold(channel.nodeid);
  try {
    const how = {
      keepSize: (mode & FALLOC_KEEP_SIZE) !== 0,
      punchHole: (mode & FALLOC_PUNCH_HOLE) !== 0,
      zeroRange: (mode & FALLOC_ZERO_RANGE) !== 0,
    };
    yield* session.vfs.fallocateAt(fileOf(inode), how, channel.count(offsets.offset), channel.count(offsets.length));
    yield* changed(session);
    return 0;
  } finally {
    session.put(inode);
  }
};

/** Copies up to a mebibyte: through the reply's buffer, which is free until the answer. */
function* copyPart(session: Session, channel: Channel, from: Inode, to: Inode): Io<number> {
  const { offsets } = FuseCopyFileRangeIn;
  const pos = channel.count(offsets.off_in);
  const length = Math.min(channel.count(offsets.len), channel.dataMax, Math.max(0, from.size - pos));
  if (length === 0) return 0;
  const bytes = channel.reply.subarray(channel.out, channel.out + length);
  const got = yield* session.vfs.readAt(fileOf(from), bytes, pos);
  return yield* writeAll(session, to, bytes.subarray(0, got), { pos: channel.count(offsets.off_out), whole: false });
}

function* copyRange(session: Session, channel: Channel): Io<number> {
  need(channel, FuseCopyFileRangeIn);
  if (channel.count(FuseCopyFileRangeIn.offsets.flags) !== 0) throw new FsError('EINVAL');
  const from = yield* session.hold(channel.nodeid);
  try {
    const to = yield* session.hold(channel.count(FuseCopyFileRangeIn.offsets.nodeid_out));
    try {
      if (!isRegular(from.mode) || !isRegular(to.mode)) throw new FsError('EINVAL');
      const done = yield* copyPart(session, channel, from, to);
      yield* changed(session);
      return done;
    } finally {
      session.put(to);
    }
  } finally {
    session.put(from);
  }
}

export const copyFileRange: Handler = function* (session, channel) {
  const done = yield* copyRange(session, channel);
  putCount(channel.replyView, channel.out, done);
  return FuseWriteOut.size;
};

export const copyFileRange64: Handler = function* (session, channel) {
  const done = yield* copyRange(session, channel);
  putCount(channel.replyView, channel.out, done);
  return FuseCopyFileRangeOut.size;
};

export const bmap: Handler = function* (session, channel) {
  need(channel, FuseBmapIn);
  const inode = yield* session.hold(channel.nodeid);
  try {
    if (!isRegular(inode.mode)) throw new FsError('EINVAL');
    const { offsets } = FuseBmapIn;
    const ratio = session.style.blockSize / channel.u32(offsets.blocksize);
    if (!Number.isInteger(ratio)) throw new FsError('EINVAL');
    const block = channel.count(offsets.block);
    if (!inode.lock.tryRead()) yield* inode.lock.read();
    try {
      const found = yield* session.fs.bmap(inode, Math.floor(block / ratio));
      putCount(channel.replyView, channel.out, found === 0 ? 0 : found * ratio + (block % ratio));
    } finally {
      inode.lock.unlockRead();
    }
    return FuseBmapOut.size;
  } catch (error) {
    // What is delayed or inline has no block.
    if (!isCode(error, 'ENXIO')) throw error;
    putCount(channel.replyView, channel.out, 0);
    return FuseBmapOut.size;
  } finally {
    session.put(inode);
  }
};
