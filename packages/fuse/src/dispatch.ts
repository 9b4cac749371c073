/** From operation numbers to handlers, and from what they throw to what the kernel is told. */
import { errnoOf, FsError, type Io } from '@iomap/io';
import type { Channel } from './channel.js';
import * as attrs from './ops/attrs.js';
import * as data from './ops/data.js';
import * as dirs from './ops/dirs.js';
import type { Handler } from './ops/handler.js';
import * as mount from './ops/mount.js';
import * as names from './ops/names.js';
import * as xattrs from './ops/xattrs.js';
import { OP } from './protocol.js';
import { NO_REPLY, type Session } from './session.js';

/** Operations that are not here are ENOSYS: locks and poll, which the kernel then does by itself, and what is newer. */
const TABLE: readonly (readonly [op: number, handler: Handler])[] = [
  [OP.LOOKUP, names.lookup],
  [OP.FORGET, names.forget],
  [OP.BATCH_FORGET, names.batchForget],
  [OP.GETATTR, attrs.getattr],
  [OP.SETATTR, attrs.setattr],
  [OP.STATX, attrs.statx],
  [OP.READLINK, names.readlink],
  [OP.SYMLINK, names.symlink],
  [OP.MKNOD, names.mknod],
  [OP.MKDIR, names.mkdir],
  [OP.UNLINK, names.unlink],
  [OP.RMDIR, names.rmdir],
  [OP.RENAME, names.rename],
  [OP.RENAME2, names.rename2],
  [OP.LINK, names.link],
  [OP.CREATE, names.create],
  [OP.TMPFILE, names.tmpfile],
  [OP.ACCESS, names.access],
  [OP.OPEN, data.open],
  [OP.READ, data.read],
  [OP.WRITE, data.write],
  [OP.FLUSH, data.flush],
  [OP.RELEASE, data.release],
  [OP.FSYNC, data.fsync],
  [OP.LSEEK, data.lseek],
  [OP.FALLOCATE, data.fallocate],
  [OP.COPY_FILE_RANGE, data.copyFileRange],
  [OP.COPY_FILE_RANGE_64, data.copyFileRange64],
  [OP.BMAP, data.bmap],
  [OP.OPENDIR, data.opendir],
  [OP.READDIR, dirs.readdir],
  [OP.READDIRPLUS, dirs.readdirplus],
  [OP.RELEASEDIR, data.release],
  [OP.FSYNCDIR, data.fsyncdir],
  [OP.SYNCFS, data.syncfs],
  [OP.STATFS, mount.statfs],
  [OP.SETXATTR, xattrs.setxattr],
  [OP.GETXATTR, xattrs.getxattr],
  [OP.LISTXATTR, xattrs.listxattr],
  [OP.REMOVEXATTR, xattrs.removexattr],
  [OP.IOCTL, mount.ioctl],
  [OP.INIT, mount.init],
  [OP.INTERRUPT, mount.interrupt],
  [OP.DESTROY, mount.destroy],
];

const HANDLERS: (Handler | undefined)[] = [];
for (const [op, handler] of TABLE) HANDLERS[op] = handler;

const NO_ANSWER_EXPECTED = new Set<number>([OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT, OP.NOTIFY_REPLY]);

const ENOSYS = -errnoOf('ENOSYS');
const EIO = -errnoOf('EIO');

/**
 * Serves the request in `channel`.
 * @returns bytes of the reply, from `REPLY_AT` of its buffer; `NO_REPLY` when none is to be sent. Never throws what a
 * request can cause.
 */
export function* handle(session: Session, channel: Channel): Io<number> {
  const handler = HANDLERS[channel.opcode];
  if (handler === undefined) return NO_ANSWER_EXPECTED.has(channel.opcode) ? NO_REPLY : channel.finish(0, ENOSYS);
  try {
    const payload = yield* handler(session, channel);
    if (payload >= 0) return channel.finish(payload, 0);
    return payload === NO_REPLY ? NO_REPLY : channel.finish(0, payload);
  } catch (error) {
    if (!(error instanceof FsError)) session.complain(`internal error in operation ${channel.opcode}`, error);
    if (NO_ANSWER_EXPECTED.has(channel.opcode)) {
      if (error instanceof FsError) session.complain(`operation ${channel.opcode}`, error);
      return NO_REPLY;
    }
    return channel.finish(0, error instanceof FsError ? error.errno : EIO);
  }
}
