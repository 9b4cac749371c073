/** /dev/fuse for the asynchronous loop: reads wait in Node's thread pool, replies are written at once (that never waits). */
import { read, writeSync } from 'node:fs';
import { REPLY_AT, REQUEST_AT } from './channel.js';
import { meaningOf } from './control.js';
import type { Transport } from './serve-async.js';
import type { Session } from './session.js';

export const fuseTransport = (fd: number, session: Session): Transport => ({
  receive: (channel) =>
    new Promise((resolve, reject) => {
      read(fd, channel.input, REQUEST_AT, channel.roomBytes, null, (error, length) => {
        const meaning = error === null ? undefined : meaningOf(error);
        if (meaning === undefined) resolve(length);
        else if (meaning === 'failure') reject(error ?? new Error('read'));
        else resolve(meaning === 'gone' ? -1 : 0);
      });
    }),
  send(channel, length) {
    try {
      writeSync(fd, channel.reply, REPLY_AT, length, null);
      return true;
    } catch (error) {
      if (meaningOf(error) === 'failure') session.complain(`answer to operation ${channel.opcode}`, error);
      return false;
    }
  },
});
