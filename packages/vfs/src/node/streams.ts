/**
 * `createReadStream` and `createWriteStream`: Node's own streams, told to use this facade's open, read, write and close
 * (the `fs` option), so that every option means what it means in Node.
 */
import { createReadStream, createWriteStream, type ReadStream, type WriteStream } from 'node:fs';
import type { CallbackFace } from './derive.js';

/** Makes streams; `close` replaces the closing of the descriptor. */
export interface StreamMaker {
  read(path: unknown, options: unknown, close?: () => Promise<void>): ReadStream;
  write(path: unknown, options: unknown, close?: () => Promise<void>): WriteStream;
}

type Done = (error?: unknown) => void;

const withFs = (face: CallbackFace, options: unknown, close: (() => Promise<void>) | undefined): object => {
  const given = typeof options === 'string' ? { encoding: options } : ((options ?? {}));
  const { open, read, write, writev, fsync } = face;
  const closeBy =
    close === undefined
      ? face.close
      : (_fd: number, done: Done): void => {
          close().then(() => done(), done);
        };
  return { ...given, fs: { open, read, write, writev, fsync, close: closeBy } };
};

export function makeStreams(face: CallbackFace): StreamMaker {
  return {
    read: (path, options, close) => createReadStream(path as string, withFs(face, options, close)),
    write: (path, options, close) => createWriteStream(path as string, withFs(face, options, close)),
  };
}
