/** Mode bits, device numbers and file types: what stat(2), ls(1) and chmod(1) make of them. */
import type { FileType } from '@iomap/vfs';
import { UsageError } from './errors.js';

export const TYPE_BITS: Readonly<Record<FileType, number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  socket: 0o140000,
  block: 0o060000,
  char: 0o020000,
  unknown: 0,
};

const TYPE_OF = new Map<number, FileType>(
  (Object.entries(TYPE_BITS) as [FileType, number][]).map(([type, bits]) => [bits, type]),
);

const TYPE_LETTER: Readonly<Record<FileType, string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  block: 'b',
  char: 'c',
  unknown: '?',
};

/** The type that mode bits say. */
export const typeOf = (mode: number): FileType => TYPE_OF.get(mode & 0o170000) ?? 'unknown';

/** `drwxr-xr-x`, with s, S, t and T. */
export function modeString(mode: number): string {
  const triple = (shift: number, special: boolean, mark: string): string => {
    const bits = (mode >> shift) & 7;
    const x = (bits & 1) !== 0;
    const last = special ? (x ? mark : mark.toUpperCase()) : x ? 'x' : '-';
    return `${(bits & 4) !== 0 ? 'r' : '-'}${(bits & 2) !== 0 ? 'w' : '-'}${last}`;
  };
  return (
    TYPE_LETTER[typeOf(mode)] +
    triple(6, (mode & 0o4000) !== 0, 's') +
    triple(3, (mode & 0o2000) !== 0, 's') +
    triple(0, (mode & 0o1000) !== 0, 't')
  );
}

/** As Linux's makedev(3): 12 bits of major and 8 of minor below, the rest above; no 32-bit truncation. */
export function makeDev(major: number, minor: number): number {
  return (
    (minor % 256) +
    (major % 4096) * 256 +
    Math.floor(minor / 256) * 2 ** 20 +
    Math.floor(major / 4096) * 2 ** 44
  );
}

export const majorOf = (rdev: number): number =>
  (Math.floor(rdev / 256) % 4096) + Math.floor(rdev / 2 ** 44) * 4096;
export const minorOf = (rdev: number): number => (rdev % 256) + (Math.floor(rdev / 2 ** 20) % 2 ** 24) * 256;

/** Octal permission bits. @throws UsageError */
export function parseOctalMode(text: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw new UsageError(`not a mode: ${text}`);
  const mode = parseInt(text, 8);
  if (mode > 0o7777) throw new UsageError(`not a mode: ${text}`);
  return mode;
}

/**
 * What chmod(1) makes of `mode`: octal (`644`) or symbolic (`u+rwX,go-w,a=r,g=u,+t`).
 * @param umask for clauses that name nobody
 * @throws UsageError
 */
export function changedMode(text: string, mode: number, umask = 0o022): number {
  if (/^[0-7]+$/.test(text)) return (mode & 0o170000) | parseOctalMode(text);
  let bits = mode & 0o7777;
  const isDirectory = typeOf(mode) === 'directory';
  for (const clause of text.split(',')) {
    const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
    if (match === null) throw new UsageError(`not a mode: ${text}`);
    const who = match[1] ?? '';
    for (const action of (match[2] ?? '').match(/[-+=][^-+=]*/g) ?? []) {
      bits = applied(bits, who, action, { isDirectory, umask });
    }
  }
  return (mode & 0o170000) | bits;
}

const CLASS_MASK: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };

function applied(bits: number, who: string, action: string, where: { isDirectory: boolean; umask: number }): number {
  let mask = 0;
  for (const letter of who === '' ? 'a' : who) mask |= CLASS_MASK[letter] ?? 0;
  let value = 0;
  for (const letter of action.slice(1)) {
    switch (letter) {
      case 'r':
        value |= 0o444;
        break;
      case 'w':
        value |= 0o222;
        break;
      case 'x':
        value |= 0o111;
        break;
      case 'X':
        if (where.isDirectory || (bits & 0o111) !== 0) value |= 0o111;
        break;
      case 's':
        value |= 0o6000;
        break;
      case 't':
        value |= 0o1000;
        break;
      default: {
        // u, g or o: that class's bits, for all.
        const shift = letter === 'u' ? 6 : letter === 'g' ? 3 : 0;
        value |= ((bits >> shift) & 7) * 0o111;
      }
    }
  }
  // The sticky bit belongs to everybody: `+t` and `u+t` set it as chmod(1) does only for `a`, `o` or nobody named.
  value &= mask;
  if (who === '') value &= ~where.umask;
  switch (action[0]) {
    case '+':
      return bits | value;
    case '-':
      return bits & ~value;
    default: {
      // '=' keeps a directory's set-id bits unless they were named, as GNU chmod does.
      const cleared = where.isDirectory ? mask & ~0o6000 : mask;
      return (bits & ~cleared) | value;
    }
  }
}
