/**
 * READDIR and READDIRPLUS: packed records, each padded to eight bytes. A record's `off` is the driver's cookie: where a later
 * request goes on.
 */
import type { Io } from '@iomap/io';
import { FsError } from '@iomap/io';
import { isDirectory, type FileType, type Inode, type Name } from '@iomap/vfs';
import { FuseDirent, FuseDirentplus, FuseEntryOut, FuseReadIn } from '../abi.js';
import { putEntry } from '../attr-out.js';
import type { Channel } from '../channel.js';
import { FUSE_ROOT_ID } from '../protocol.js';
import type { Session } from '../session.js';
import { putCount } from '../wire.js';
import { need, type Handler } from './handler.js';

const R = FuseReadIn.offsets;
const D = FuseDirent.offsets;

/** `d_type` of readdir(3). */
const DT: Readonly<Record<FileType, number>> = {
  unknown: 0,
  fifo: 1,
  char: 2,
  directory: 4,
  block: 6,
  file: 8,
  symlink: 10,
  socket: 12,
};

const padded = (size: number): number => (size + 7) & ~7;

/** Writes a `fuse_dirent` with its name at `at` and the padding behind it. */
function putDirent(channel: Channel, at: number, name: Name, entry: { ino: number; cookie: number; type: FileType }): void {
  const { reply, replyView } = channel;
  putCount(replyView, at + D.ino, entry.ino);
  putCount(replyView, at + D.off, entry.cookie);
  replyView.setUint32(at + D.namelen, name.length, true);
  replyView.setUint32(at + D.type, DT[entry.type], true);
  const nameAt = at + FuseDirent.size;
  for (let i = 0; i < name.length; i++) reply[nameAt + i] = name.charCodeAt(i);
  reply.fill(0, nameAt + name.length, at + padded(FuseDirent.size + name.length));
}

export const readdir: Handler = function* (session, channel) {
  need(channel, FuseReadIn);
  const room = Math.min(channel.u32(R.size), channel.dataMax);
  const dir = yield* session.hold(channel.nodeid);
  try {
    let used = 0;
    yield* session.vfs.readdirAt(dir, channel.count(R.offset), (name, ino, type, cookie) => {
      const size = padded(FuseDirent.size + name.length);
      if (used + size > room) return false;
      putDirent(channel, channel.out + used, name, { ino, type, cookie });
      used += size;
      return true;
    });
    return used;
  } finally {
    session.put(dir);
  }
};

interface Listed {
  readonly name: Name;
  readonly ino: number;
  readonly type: FileType;
  readonly cookie: number;
}

/** The inode of a listed entry, referenced; undefined when it cannot be read: the entry then comes without attributes. */
function* inodeOf(session: Session, entry: Listed): Io<Inode | undefined> {
  if (entry.name === '.' || entry.name === '..') return undefined;
  if (entry.ino === FUSE_ROOT_ID || entry.ino === session.style.rootIno) return undefined;
  const { core } = session.vfs;
  try {
    const hit = core.inodes.peek(entry.ino);
    if (hit !== undefined) {
      hit.refs++;
      return hit;
    }
    return yield* core.inodes.get(entry.ino);
  } catch (error) {
    // Found gone or broken: whoever looks it up by name is told.
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

export const readdirplus: Handler = function* (session, channel) {
  need(channel, FuseReadIn);
  const room = Math.min(channel.u32(R.size), channel.dataMax);
  const dir = yield* session.hold(channel.nodeid);
  try {
    if (!isDirectory(dir.mode)) throw new FsError('ENOTDIR');
    // The entries first, under the directory's lock; then their inodes, one after the other.
    const entries: Listed[] = [];
    let used = 0;
    yield* session.vfs.readdirAt(dir, channel.count(R.offset), (name, ino, type, cookie) => {
      const size = padded(FuseDirentplus.size + name.length);
      if (used + size > room) return false;
      used += size;
      entries.push({ name, ino, type, cookie });
      return true;
    });
    let at = channel.out;
    for (const entry of entries) {
      const inode = yield* inodeOf(session, entry);
      if (inode === undefined) {
        channel.reply.fill(0, at, at + FuseEntryOut.size);
      } else {
        session.know(channel, inode);
        putEntry(channel.replyView, at, inode, session.style);
        session.put(inode);
      }
      putDirent(channel, at + FuseEntryOut.size, entry.name, entry);
      at += padded(FuseDirentplus.size + entry.name.length);
    }
    return used;
  } finally {
    session.put(dir);
  }
};
