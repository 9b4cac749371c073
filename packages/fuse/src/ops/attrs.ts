/** GETATTR, SETATTR, STATX, and the removal of privileges that a change by an ordinary user brings. */
import { FsError, type Io, type Timespec } from '@iomap/io';
import { isDirectory, isRegular, S_ISGID, S_ISUID, S_IXGRP, type Inode } from '@iomap/vfs';
import { FuseSetattrIn, FuseStatxOut } from '../abi.js';
import { putAttrOut, putStatx } from '../attr-out.js';
import { groupsOf } from '../callers.js';
import type { Channel } from '../channel.js';
import { FATTR } from '../protocol.js';
import type { Session } from '../session.js';
import { getSeconds } from '../wire.js';
import { changed, need, type Handler } from './handler.js';

const S = FuseSetattrIn.offsets;

export const getattr: Handler = function* (session, channel) {
  const inode = yield* session.hold(channel.nodeid);
  try {
    return putAttrOut(channel.replyView, channel.out, inode, session.style);
  } finally {
    session.put(inode);
  }
};

/** Asked for creation times alone; ENOSYS, said once, and GETATTR does for all. */
export const statx: Handler = function* (session, channel) {
  if (!session.options.btime) throw new FsError('ENOSYS');
  const inode = yield* session.hold(channel.nodeid);
  try {
    channel.clear(FuseStatxOut.size);
    return putStatx(channel.replyView, channel.out, inode, session.style);
  } finally {
    session.put(inode);
  }
};

function timeOf(channel: Channel, secAt: number, nsecAt: number): Timespec {
  return { sec: getSeconds(channel.view, channel.at + secAt), nsec: Math.min(999_999_999, channel.u32(nsecAt)) };
}

/** What the request changes, as the vfs has it. The kernel tells which time is "now", which needs fewer rights. */
function changeOf(channel: Channel, valid: number): Parameters<Session['vfs']['setattrAt']>[1] {
  const atimeNow = (valid & FATTR.ATIME_NOW) !== 0;
  const mtimeNow = (valid & FATTR.MTIME_NOW) !== 0;
  return {
    mode: (valid & FATTR.MODE) === 0 ? undefined : channel.u32(S.mode) & 0o7777,
    uid: (valid & FATTR.UID) === 0 ? undefined : channel.u32(S.uid),
    gid: (valid & FATTR.GID) === 0 ? undefined : channel.u32(S.gid),
    size: (valid & FATTR.SIZE) === 0 ? undefined : channel.count(S.size),
    atime: (valid & FATTR.ATIME) === 0 ? undefined : atimeNow ? 'now' : timeOf(channel, S.atime, S.atimensec),
    mtime: (valid & FATTR.MTIME) === 0 ? undefined : mtimeNow ? 'now' : timeOf(channel, S.mtime, S.mtimensec),
    opened: (valid & FATTR.FH) !== 0,
  };
}

export const CAPABILITY = 'security.capability';

/** Without group execution setgid stays for root and for members of the group. */
const mayKeepGroup = ({ uid, gid, pid }: Channel, inode: Inode): boolean =>
  uid === 0 || gid === inode.gid || groupsOf(pid).includes(inode.gid);

/**
 * A write, truncation or change of owner takes setuid, setgid (see `mayKeepGroup`) and file capabilities away
 * (HANDLE_KILLPRIV_V2 leaves that to the server).
 */
export function* killPrivileges(session: Session, channel: Channel, inode: Inode): Io<void> {
  const { vfs } = session;
  if (isDirectory(inode.mode)) return;
  const names = yield* vfs.listxattrAt(inode);
  if (names.includes(CAPABILITY)) yield* vfs.removexattrAt(inode, CAPABILITY);
  let mode = inode.mode & ~S_ISUID;
  if ((mode & S_ISGID) !== 0 && ((mode & S_IXGRP) !== 0 || !mayKeepGroup(channel, inode))) mode &= ~S_ISGID;
  if (mode !== inode.mode) yield* vfs.setattrAt(inode, { mode: mode & 0o7777 });
}

/** With a writeback cache the kernel keeps mtime and ctime, and tells them when it lets the inode go: not a change by anyone. */
function* flushTimes(session: Session, channel: Channel, inode: Inode, valid: number): Io<void> {
  session.vfs.core.checkWritable();
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  try {
    session.fs.touch(inode, {
      ...((valid & FATTR.MTIME) === 0 ? {} : { mtime: session.vfs.core.fit(timeOf(channel, S.mtime, S.mtimensec)) }),
      ctime: session.vfs.core.fit(timeOf(channel, S.ctime, S.ctimensec)),
    });
  } finally {
    inode.lock.unlockWrite();
  }
}

export const setattr: Handler = function* (session, channel) {
  need(channel, FuseSetattrIn);
  const valid = channel.u32(S.valid);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const onlyTimes = (valid & (FATTR.MODE | FATTR.UID | FATTR.GID | FATTR.SIZE | FATTR.ATIME)) === 0;
    if (valid === 0) {
      // Before a write by an ordinary user: asked only when there are privileges to take, and the answer is how the kernel
      // learns the new mode. Or chown(2) to nobody and no group, which moves ctime.
      yield* killPrivileges(session, channel, inode);
      yield* session.vfs.setattrAt(inode, {});
    } else if ((valid & FATTR.CTIME) !== 0 && onlyTimes) {
      // What the kernel kept always has mtime; ctime alone is chown(2) to nobody and no group.
      if ((valid & FATTR.MTIME) === 0) yield* killPrivileges(session, channel, inode);
      yield* flushTimes(session, channel, inode, valid);
    } else {
      const change = changeOf(channel, valid);
      if (change.size !== undefined && change.size > session.fs.traits.fileSizeMax && isRegular(inode.mode)) {
        throw new FsError('EFBIG');
      }
      yield* session.caller(channel).setattrAt(inode, change);
      if ((valid & (FATTR.KILL_SUIDGID | FATTR.UID | FATTR.GID)) !== 0) yield* killPrivileges(session, channel, inode);
    }
    yield* changed(session);
    return putAttrOut(channel.replyView, channel.out, inode, session.style);
  } finally {
    session.put(inode);
  }
};
