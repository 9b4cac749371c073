/** What concerns the mount: INIT, STATFS, DESTROY, INTERRUPT; and ioctl(2) for inode flags. */
import { FsError } from '@iomap/io';
import { FuseIoctlIn, FuseIoctlOut, FuseStatfsOut } from '../abi.js';
import { negotiate, putInit } from '../init.js';
import { FLAGS_MODIFIABLE, FLAGS_VISIBLE, FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_SETFLAGS } from '../protocol.js';
import { NO_REPLY } from '../session.js';
import { putCount } from '../wire.js';
import { changed, need, type Handler } from './handler.js';

// eslint-disable-next-line require-yield
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

// eslint-disable-next-line require-yield
export const destroy: Handler = function* (session) {
  session.destroyed = true;
  return 0;
};

/**
 * INTERRUPT: a request under way may end early with EINTR. Ours are short, and what they change is changed or not: they end by
 * themselves, which the protocol allows. There is no answer to give.
 */
// eslint-disable-next-line require-yield
export const interrupt: Handler = function* () {
  return NO_REPLY;
};

const FLAGS_BYTES = 4;

export const ioctl: Handler = function* (session, channel) {
  need(channel, FuseIoctlIn);
  const cmd = channel.u32(FuseIoctlIn.offsets.cmd);
  if (cmd !== FS_IOC_GETFLAGS && cmd !== FS_IOC_SETFLAGS && cmd !== FS_IOC_GETVERSION) throw new FsError('ENOTTY');
  const inode = yield* session.hold(channel.nodeid);
  try {
    const length = channel.clear(FuseIoctlOut.size);
    if (cmd === FS_IOC_SETFLAGS) {
      if (!channel.has(FuseIoctlIn.size + FLAGS_BYTES)) throw new FsError('EINVAL');
      const asked = channel.u32(FuseIoctlIn.size);
      const flags = (inode.flags & ~FLAGS_MODIFIABLE) | (asked & FLAGS_MODIFIABLE);
      yield* session.caller(channel).setattrAt(inode, { flags: flags >>> 0 });
      yield* changed(session);
      return length;
    }
    if (channel.u32(FuseIoctlIn.offsets.out_size) < FLAGS_BYTES) throw new FsError('EINVAL');
    const value = cmd === FS_IOC_GETVERSION ? inode.generation : inode.flags & FLAGS_VISIBLE;
    channel.replyView.setUint32(channel.out + length, value >>> 0, true);
    return length + FLAGS_BYTES;
  } finally {
    session.put(inode);
  }
};
