/** GETXATTR, SETXATTR, LISTXATTR, REMOVEXATTR. */
import { errnoOf, FsError, type Io } from '@iomap/io';
import { bytesOfLatin1, S_ISGID } from '@iomap/vfs';
import { FuseGetxattrIn, FuseGetxattrOut, FuseSetxattrIn } from '../abi.js';
import type { Channel } from '../channel.js';
import { FUSE_SETXATTR_ACL_KILL_SGID, INIT } from '../protocol.js';
import { putCount } from '../wire.js';
import { CAPABILITY } from './attrs.js';
import { changed, need, type Handler } from './handler.js';

const ACL_ACCESS = 'system.posix_acl_access';
const ACL_DEFAULT = 'system.posix_acl_default';

const ENODATA = -errnoOf('ENODATA');

const isUsual = (name: string): boolean => name === CAPABILITY || name === ACL_ACCESS || name === ACL_DEFAULT;

/** `size` 0 asks how long the answer would be. @throws FsError ERANGE when it does not fit */
function answer(channel: Channel, value: Uint8Array, size: number): number {
  if (size === 0) {
    putCount(channel.replyView, channel.out, value.length);
    return FuseGetxattrOut.size;
  }
  if (value.length > size) throw new FsError('ERANGE');
  channel.reply.set(value, channel.out);
  return value.length;
}

export const getxattr: Handler = function* (session, channel) {
  need(channel, FuseGetxattrIn);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const name = channel.name(FuseGetxattrIn.size);
    const vfs = session.caller(channel);
    // The kernel asks for capabilities and ACLs of every file, and few have any: that is not worth an exception.
    if (isUsual(name) && !(yield* vfs.listxattrAt(inode)).includes(name)) return ENODATA;
    const value = yield* vfs.getxattrAt(inode, name);
    return answer(channel, value, channel.u32(0));
  } finally {
    session.put(inode);
  }
};

export const listxattr: Handler = function* (session, channel) {
  need(channel, FuseGetxattrIn);
  const inode = yield* session.hold(channel.nodeid);
  try {
    let names = yield* session.caller(channel).listxattrAt(inode);
    // What the kernel checked it did not filter: `trusted.*` is root's to see.
    if (channel.uid !== 0) names = names.filter((name) => !name.startsWith('trusted.'));
    return answer(channel, bytesOfLatin1(names.map((name) => `${name}\0`).join('')), channel.u32(0));
  } finally {
    session.put(inode);
  }
};

function modeOf(flags: number): 'any' | 'create' | 'replace' {
  if (flags === 0) return 'any';
  if (flags === 1) return 'create';
  if (flags === 2) return 'replace';
  throw new FsError('EINVAL');
}

function* set(session: Parameters<Handler>[0], channel: Channel): Io<void> {
  const isLong = ((session.agreed?.flags ?? 0) & INIT.SETXATTR_EXT) !== 0;
  const nameAt = isLong ? FuseSetxattrIn.size : 8;
  const { offsets } = FuseSetxattrIn;
  const name = channel.name(nameAt);
  const size = channel.u32(offsets.size);
  const valueAt = nameAt + name.length + 1;
  if (!channel.has(valueAt + size)) throw new FsError('EINVAL', { why: 'a SETXATTR is cut short' });
  const vfs = session.caller(channel);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const value = channel.bytes(valueAt, size).slice();
    yield* vfs.setxattrAt(inode, name, value, modeOf(channel.u32(offsets.flags)));
    const kills = isLong && (channel.u32(offsets.setxattr_flags) & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
    if (kills && name === ACL_ACCESS && (inode.mode & S_ISGID) !== 0) {
      yield* session.vfs.setattrAt(inode, { mode: inode.mode & 0o7777 & ~S_ISGID });
    }
  } finally {
    session.put(inode);
  }
}

export const setxattr: Handler = function* (session, channel) {
  yield* set(session, channel);
  yield* changed(session);
  return 0;
};

export const removexattr: Handler = function* (session, channel) {
  const inode = yield* session.hold(channel.nodeid);
  try {
    const name = channel.name(0);
    // The kernel itself takes capabilities away when somebody writes, and lets nobody else but root do it.
    const vfs = name === CAPABILITY ? session.vfs : session.caller(channel);
    yield* vfs.removexattrAt(inode, name);
  } finally {
    session.put(inode);
  }
  yield* changed(session);
  return 0;
};
