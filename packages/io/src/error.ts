/**
 * The project's one error class, in the shape of Node's system errors, so that callers' `e.code === 'ENOENT'` works.
 *
 * Five kinds, distinct codes: caller (ENOENT, ENOTDIR, …), unsupported (EOPNOTSUPP with the feature's name), corrupt
 * (EUCLEAN structure, EBADMSG checksum), device (EIO), bug (an AssertionError, never an FsError).
 * Context is added going up, once per layer, by `withContext`, which makes a new error: errors are never mutated.
 */

/** Linux errno numbers and Node's (libuv's) texts. */
const CODES = {
  EPERM: [1, 'operation not permitted'],
  ENOENT: [2, 'no such file or directory'],
  EINTR: [4, 'interrupted system call'],
  EIO: [5, 'i/o error'],
  ENXIO: [6, 'no such device or address'],
  E2BIG: [7, 'argument list too long'],
  EBADF: [9, 'bad file descriptor'],
  EAGAIN: [11, 'resource temporarily unavailable'],
  ENOMEM: [12, 'not enough memory'],
  EACCES: [13, 'permission denied'],
  EFAULT: [14, 'bad address in system call argument'],
  EBUSY: [16, 'resource busy or locked'],
  EEXIST: [17, 'file already exists'],
  EXDEV: [18, 'cross-device link not permitted'],
  ENODEV: [19, 'no such device'],
  ENOTDIR: [20, 'not a directory'],
  EISDIR: [21, 'illegal operation on a directory'],
  EINVAL: [22, 'invalid argument'],
  ENFILE: [23, 'file table overflow'],
  EMFILE: [24, 'too many open files'],
  ENOTTY: [25, 'inappropriate ioctl for device'],
  ETXTBSY: [26, 'text file is busy'],
  EFBIG: [27, 'file too large'],
  ENOSPC: [28, 'no space left on device'],
  ESPIPE: [29, 'invalid seek'],
  EROFS: [30, 'read-only file system'],
  EMLINK: [31, 'too many links'],
  ERANGE: [34, 'result too large'],
  EDEADLK: [35, 'resource deadlock avoided'],
  ENAMETOOLONG: [36, 'name too long'],
  ENOSYS: [38, 'function not implemented'],
  ENOTEMPTY: [39, 'directory not empty'],
  ELOOP: [40, 'too many symbolic links encountered'],
  ENODATA: [61, 'no data available'],
  EBADMSG: [74, 'checksum mismatch'],
  EOVERFLOW: [75, 'value too large for defined data type'],
  ENOTSUP: [95, 'operation not supported'],
  EOPNOTSUPP: [95, 'operation not supported'],
  ETIMEDOUT: [110, 'connection timed out'],
  ECONNRESET: [104, 'connection reset by peer'],
  ESTALE: [116, 'stale file handle'],
  EUCLEAN: [117, 'structure needs cleaning'],
  EDQUOT: [122, 'disk quota exceeded'],
  ECANCELED: [125, 'operation canceled'],
} as const satisfies Record<string, readonly [number, string]>;

export type FsCode = keyof typeof CODES;

/** Where in an image something is wrong, as far as the layers that saw the error know. Positions are bytes. */
export interface FsErrorDetail {
  readonly device?: string;
  readonly pos?: number;
  readonly block?: number;
  readonly ino?: number;
  readonly field?: string;
  readonly why?: string;
}

export interface FsErrorInit {
  /** What happened, in a few words; the code's own text when absent. */
  readonly why?: string;
  readonly syscall?: string;
  readonly path?: string;
  readonly dest?: string;
  readonly detail?: FsErrorDetail;
  readonly cause?: unknown;
}

const formatMessage = (code: FsCode, init: FsErrorInit): string => {
  const { detail } = init;
  let text = `${code}: ${CODES[code][1]}`;
  const places: string[] = [];
  const why = init.why ?? detail?.why;
  if (why !== undefined) places.push(why);
  if (detail?.field !== undefined) places.push(detail.field);
  if (detail?.ino !== undefined) places.push(`inode ${detail.ino}`);
  if (detail?.block !== undefined) places.push(`block ${detail.block}`);
  else if (detail?.pos !== undefined) places.push(`at byte ${detail.pos}`);
  if (places.length > 0) text += ` (${places.join(', ')})`;
  if (init.syscall !== undefined) text += `, ${init.syscall}`;
  if (init.path !== undefined) text += ` '${init.path}'`;
  if (init.dest !== undefined) text += ` -> '${init.dest}'`;
  return text;
};

/** A failed operation on an image, a device or a path. `errno` is negative, as Node's is. */
export class FsError extends Error {
  override readonly name = 'FsError';
  readonly code: FsCode;
  readonly errno: number;
  readonly syscall?: string;
  readonly path?: string;
  readonly dest?: string;
  readonly why?: string;
  readonly detail: FsErrorDetail;

  constructor(code: FsCode, init: FsErrorInit = {}) {
    super(formatMessage(code, init), init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.errno = -CODES[code][0];
    if (init.syscall !== undefined) this.syscall = init.syscall;
    if (init.path !== undefined) this.path = init.path;
    if (init.dest !== undefined) this.dest = init.dest;
    if (init.why !== undefined) this.why = init.why;
    this.detail = init.detail ?? {};
  }
}

/** True when `error` is an `FsError` with one of `codes`. */
export function isCode(error: unknown, ...codes: FsCode[]): error is FsError {
  return error instanceof FsError && codes.includes(error.code);
}

/** The same failure with what this layer knows added; what is there already stays. The original is its `cause`. */
export function withContext(error: FsError, context: Omit<FsErrorInit, 'cause'>): FsError {
  const why = error.why ?? context.why;
  return new FsError(error.code, {
    ...context,
    ...(why === undefined ? {} : { why }),
    ...(error.syscall === undefined ? {} : { syscall: error.syscall }),
    ...(error.path === undefined ? {} : { path: error.path }),
    ...(error.dest === undefined ? {} : { dest: error.dest }),
    detail: { ...context.detail, ...error.detail },
    cause: error.cause ?? error,
  });
}

/** Shorthands for the codes that drivers throw most. */
export const corrupt = (why: string, detail: FsErrorDetail = {}): FsError => new FsError('EUCLEAN', { why, detail });
export const unsupported = (why: string, detail: FsErrorDetail = {}): FsError =>
  new FsError('EOPNOTSUPP', { why, detail });

/** The codes' numbers (positive), for those who speak errno: FUSE, tests. */
export const errnoOf = (code: FsCode): number => CODES[code][0];
/** The code of a host system error (`e.code` of Node), or `EIO` where we do not know it. */
export const fsCodeOf = (code: unknown): FsCode =>
  typeof code === 'string' && Object.hasOwn(CODES, code) ? (code as FsCode) : 'EIO';
