/** What every operation is: a function from a request to the length of its answer. */
import { FsError, type Io } from '@iomap/io';
import type { Layout, FieldTable } from '@iomap/buffer-cache';
import type { Inode, OpenFile } from '@iomap/vfs';
import type { Channel } from '../channel.js';
import type { Session } from '../session.js';

/**
 * Serves a request: the answer's payload is written at `channel.out`.
 * @returns its bytes; `NO_REPLY` when the kernel wants none; a negative errno for a failure that is usual (no exception)
 * @throws FsError what the kernel is told in its place
 */
export type Handler = (session: Session, channel: Channel) => Io<number>;

/** @throws FsError EINVAL when the request is shorter than its arguments */
export function need<T extends FieldTable>(channel: Channel, args: Layout<T>): void {
  if (!channel.has(args.size)) throw new FsError('EINVAL', { why: `${args.name} is cut short` });
}

/** An open file for the time of one request: the kernel has opened it, or `server` permissions were checked at OPEN. */
export const fileOf = (inode: Inode, flags = 0): OpenFile => ({
  inode,
  flags,
  readable: true,
  writable: true,
  pos: 0,
  closed: false,
});

/** Writes everything that is dirty now. What others change meanwhile is dirty after it. */
export function* syncAll(session: Session): Io<void> {
  session.dirty = false;
  try {
    yield* session.vfs.sync();
  } catch (error) {
    session.dirty = true;
    throw error;
  }
}

/** With `-o sync`, and after all that says so, what was changed goes to the image before the answer. */
export function* changed(session: Session): Io<void> {
  session.dirty = true;
  if (session.options.sync) yield* syncAll(session);
}
