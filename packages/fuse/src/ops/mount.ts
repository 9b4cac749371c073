/** What concerns the mount: INIT, STATFS, DESTROY, INTERRUPT; and ioctl(2) for inode flags. */
import { FsError, type Io } from '@iomap/io';
import type { Inode } from '@iomap/vfs';
import { FuseIoctlIn, FuseIoctlOut, FuseStatfsOut } from '../abi.js';
import type { Channel } from '../channel.js';
import { negotiate, putInit } from '../init.js';
import {
  FLAGS_MODIFIABLE,
  FLAGS_VISIBLE,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_GETVERSION,
  FS_IOC_SETFLAGS,
} from '../protocol.js';
import { NO_REPLY, type Session } from '../session.js';
import { putCount } from '../wire.js';
import { changed, need, type Handler } from './handler.js';

 
export const init: Handler = function* (session, channel) {
  const offer = channel.bytes(0, channel.end - channel.at);
  const agreed = negotiate(offer, { ...session.wishes, dataMax: Math.min(session.wishes.dataMax, channel.dataMax) });
  session.agreed = agreed;
  return putInit(channel.reply, channel.out, agreed, session.wishes);
};

export const statfs: Handler = function* (session, channel) {
  const stat = yield* session.fs.statfs();
  const o = FuseStatfsOut.offsets;
  const length = channel.clear(FuseStatfsOut.size);
  const { replyView: view, out } = channel;
  putCount(view, out + o.blocks, stat.blocks);
  putCount(view, out + o.bfree, stat.blocksFree);
  putCount(view, out + o.bavail, stat.blocksAvailable);
  putCount(view, out + o.files, stat.files);
  putCount(view, out + o.ffree, stat.filesFree);
  view.setUint32(out + o.bsize, stat.blockSize, true);
  view.setUint32(out + o.frsize, stat.blockSize, true);
  view.setUint32(out + o.namelen, stat.nameMax, true);
  return length;
};

 
export const destroy: Handler = function* (session) {
  session.destroyed = true;
  return 0;
};

/**
 * INTERRUPT: a request under way may end early with EINTR. Ours are short, and what they change is changed or not: they end by
 * themselves, which the protocol allows. There is no answer to give.
 */
 
export const interrupt: Handler = function* () {
  return NO_REPLY;
};

const FLAGS_BYTES = 4;
/** `struct fsxattr`: flags, extent size hint, extents, project, copy-on-write hint, padding. Only flags have a meaning here. */
const FSXATTR_BYTES = 28;
/** Bits of `fsx_xflags` and of FS_IOC_GETFLAGS that mean the same. */
const XFLAGS = [
  [0x08, 0x10], // immutable
  [0x10, 0x20], // append
  [0x20, 0x08], // sync
  [0x40, 0x80], // noatime
  [0x80, 0x40], // nodump
] as const;

const xflagsOf = (flags: number): number => XFLAGS.reduce((sum, [x, fs]) => sum | ((flags & fs) === 0 ? 0 : x), 0);

function flagsOf(xflags: number, before: number): number {
  let flags = before;
  for (const [x, fs] of XFLAGS) flags = (xflags & x) === 0 ? flags & ~fs : flags | fs;
  return flags;
}

function* setFlags(session: Session, channel: Channel, inode: Inode, flags: number): Io<void> {
  const kept = (inode.flags & ~FLAGS_MODIFIABLE) | (flags & FLAGS_MODIFIABLE);
  yield* session.caller(channel).setattrAt(inode, { flags: kept >>> 0 });
  yield* changed(session);
}

/** lsattr(1), chattr(1): inode flags, in the old form and in the one that the kernel asks for first; generations. */
export const ioctl: Handler = function* (session, channel) {
  need(channel, FuseIoctlIn);
  const { offsets, size } = FuseIoctlIn;
  const given = channel.u32(offsets.in_size);
  const room = channel.u32(offsets.out_size);
  const inode = yield* session.hold(channel.nodeid);
  try {
    const length = channel.clear(FuseIoctlOut.size + FSXATTR_BYTES) - FSXATTR_BYTES;
    const answer = (value: number, bytes: number): number => {
      if (room < bytes) throw new FsError('EINVAL');
      channel.replyView.setUint32(channel.out + length, value >>> 0, true);
      return length + bytes;
    };
    const wants = (bytes: number): number => {
      if (given < bytes || !channel.has(size + bytes)) throw new FsError('EINVAL');
      return channel.u32(size);
    };
    switch (channel.u32(offsets.cmd)) {
      case FS_IOC_GETFLAGS:
        return answer(inode.flags & FLAGS_VISIBLE, FLAGS_BYTES);
      case FS_IOC_GETVERSION:
        return answer(inode.generation, FLAGS_BYTES);
      case FS_IOC_FSGETXATTR:
        return answer(xflagsOf(inode.flags), FSXATTR_BYTES);
      case FS_IOC_SETFLAGS:
        yield* setFlags(session, channel, inode, wants(FLAGS_BYTES));
        return length;
      case FS_IOC_FSSETXATTR:
        yield* setFlags(session, channel, inode, flagsOf(wants(FSXATTR_BYTES), inode.flags));
        return length;
      default:
        throw new FsError('ENOTTY');
    }
  } finally {
    session.put(inode);
  }
};
