/**
 * What makes two builds of one source byte-equal: the clock, the UUID and the random numbers of the image all follow from
 * the source (and from SOURCE_DATE_EPOCH, as other tools read it).
 *
 * The digest is over names and attributes, sizes among them, not over content: reading every file twice would cost more
 * than building. Sources that differ in content alone, at equal times, share their UUID; `--uuid` sets another.
 */
import { createHash } from 'node:crypto';
import { fixedEnv, type Env, type Timespec } from '@iomap/io';
import { CommandError } from '../errors.js';
import { visitInodes, type SourceInode } from '../source/source.js';

/** The second that SOURCE_DATE_EPOCH says. @throws CommandError EINVAL when it is no number */
export function sourceDateEpoch(env: Readonly<Record<string, string | undefined>>): Timespec | undefined {
  const text = env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  if (!/^[0-9]{1,12}$/.test(text)) throw new CommandError('EINVAL', `not a number of seconds: ${text}`, { image: 'SOURCE_DATE_EPOCH' });
  return { sec: Number(text), nsec: 0 };
}

export interface Identity {
  /** A new world that starts from the same state at every call. */
  env(): Env;
  readonly uuid: Uint8Array;
}

/**
 * @param latest the clock of the image
 * @param parameters what else decides the image (block size, …), as text
 */
export function identityOf(root: SourceInode, latest: Timespec, parameters: string): Identity {
  const hash = createHash('sha256').update(parameters);
  let text = '';
  visitInodes(root, (inode, path) => {
    const { mode, uid, gid, rdev, size, mtime, links } = inode;
    text += `${path}\0${mode} ${uid} ${gid} ${rdev} ${size} ${mtime.sec} ${mtime.nsec} ${links}\n`;
    if (inode.xattrs !== undefined) {
      for (const [name, value] of inode.xattrs) text += `${name}=${Buffer.from(value).toString('hex')}\n`;
    }
    if (text.length > 65_536) {
      hash.update(text, 'latin1');
      text = '';
    }
  });
  const digest = hash.update(text, 'latin1').digest();
  const uuid = Uint8Array.from(digest.subarray(0, 16));
  // RFC 9562: version 8 (our own scheme), its variant.
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return { env: () => fixedEnv({ start: latest, seed: digest.readUInt32LE(16) }), uuid };
}
