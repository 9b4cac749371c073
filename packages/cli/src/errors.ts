/**
 * How the command fails: one line, one exit code.
 *
 * - `UsageError`: the command line is wrong (exit 2)
 * - `CommandError`: `iomap: IMAGE: /path: CODE: what` (exit 1 unless said otherwise)
 * - `errorLine`: the line for any error; only a bug (neither of these, nor an FsError or a host system error) shows a stack
 */
import { FsError } from '@iomap/io';

/** The command line does not say something that can be done. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Where an error happened, as the user named it. */
export interface Where {
  /** The image or host file. */
  readonly image?: string | undefined;
  /** The path inside it. */
  readonly path?: string | undefined;
}

/** A failure with a code, the place it happened and the exit code it leads to. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    readonly code: string,
    readonly what: string,
    readonly where: Where = {},
    readonly exitCode = 1,
  ) {
    super(`${code}: ${what}`);
  }
}

interface SystemError extends Error {
  readonly code: string;
  readonly path?: string | Buffer | undefined;
}

/** Node's own system errors: a message `CODE: text, syscall 'path'`. By shape: they may come from another realm. */
export const isSystemError = (error: unknown): error is SystemError =>
  typeof error === 'object' &&
  error !== null &&
  !(error instanceof FsError) &&
  'message' in error &&
  'code' in error &&
  typeof error.code === 'string' &&
  'errno' in error;

/** The code of a failure that is not a bug. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof CommandError || error instanceof FsError) return error.code;
  return isSystemError(error) ? error.code : undefined;
}

/** What happened, without the code, the syscall and the path (they are said elsewhere on the line). */
export function whatOf(error: unknown): string {
  if (error instanceof CommandError) return error.what;
  if (!(error instanceof Error) && !isSystemError(error)) return String(error);
  let text = error.message;
  const code = codeOf(error);
  if (code !== undefined && text.startsWith(`${code}: `)) text = text.slice(code.length + 2);
  if (error instanceof FsError || isSystemError(error)) text = text.replace(/, [a-z_0-9]+(?: '.*')?$/is, '');
  return text;
}

 
const oneLine = (text: string): string => text.replace(/[\x00-\x1f\x7f]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);

/** The line to print for `error`, without a newline at its end. */
export function errorLine(error: unknown, fallback: Where = {}): string {
  const code = codeOf(error);
  if (code === undefined) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `iomap: internal error: ${text}`;
  }
  const own: Where = error instanceof CommandError ? error.where : {};
  const image = own.image ?? fallback.image;
  const hostPath = isSystemError(error) && image === undefined ? error.path?.toString() : undefined;
  const parts = ['iomap'];
  if (image !== undefined) parts.push(image);
  else if (hostPath !== undefined) parts.push(hostPath);
  const path = own.path ?? fallback.path;
  if (path !== undefined) parts.push(path);
  parts.push(code, whatOf(error));
  return oneLine(parts.join(': '));
}

/** Runs `work`; a failure that does not say where gets `where`. */
export function at<T>(where: Where, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw placed(error, where);
  }
}

/** The same failure as a `CommandError` at `where`; bugs, usage errors and placed errors stay as they are. */
export function placed(error: unknown, where: Where): unknown {
  const code = codeOf(error);
  if (error instanceof CommandError) {
    const known = error.where;
    if (known.image !== undefined && (known.path !== undefined || where.path === undefined)) return error;
    return new CommandError(error.code, error.what, { image: known.image ?? where.image, path: known.path ?? where.path }, error.exitCode);
  }
  if (code === undefined) return error;
  return new CommandError(code, whatOf(error), where);
}
