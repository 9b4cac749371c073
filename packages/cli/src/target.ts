/**
 * What the user names: `IMAGE`, `IMAGE@2` (its second partition), `IMAGE:/path` (a file inside).
 *
 * A host name may hold ':' and '@' itself: of all ways to read an argument, the one whose image part exists and is longest
 * wins. When nothing exists, the first `:/` divides, so that the error names what was meant.
 */
import { statSync } from 'node:fs';
import { CommandError, UsageError } from './errors.js';
import { shown, toName } from './names.js';
import type { Name } from '@iomap/vfs';

export interface ImageTarget {
  /** The host file or device. */
  readonly image: string;
  /** 1 is the first; undefined = the whole. */
  readonly partition: number | undefined;
  /** Absolute path inside, as bytes; undefined = none was given. */
  readonly path: Name | undefined;
  /** `IMAGE` with its partition, for messages. */
  readonly label: string;
}

/** Whether a host path names something. */
export type Exists = (path: string) => boolean;

const existsOnHost: Exists = (path) => {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
};

const PARTITION = /^(.+)@([1-9][0-9]{0,2})$/s;

function target(image: string, partition: number | undefined, path: string | undefined): ImageTarget {
  return {
    image,
    partition,
    path: path === undefined ? undefined : path === '' ? '/' : toName(path),
    label: partition === undefined ? image : `${image}@${partition}`,
  };
}

/** The image that `text` says (no path in it), if it exists: itself, or itself without `@N`. */
function imageOf(text: string, exists: Exists): { image: string; partition: number | undefined } | undefined {
  if (text === '') return undefined;
  if (exists(text)) return { image: text, partition: undefined };
  const match = PARTITION.exec(text);
  const image = match?.[1];
  return image !== undefined && exists(image) ? { image, partition: Number(match?.[2]) } : undefined;
}

/** Positions of the colons that may divide image and path, last first. */
function colons(text: string): number[] {
  const found: number[] = [];
  for (let i = text.lastIndexOf(':'); i > 0; i = text.lastIndexOf(':', i - 1)) {
    const next = text[i + 1];
    if (next === undefined || next === '/') found.push(i);
  }
  return found;
}

/**
 * Reads an argument that must name an image.
 * @throws UsageError when it is empty; CommandError ENOTSUP for a URL
 */
export function parseImage(text: string, exists: Exists = existsOnHost): ImageTarget {
  if (text === '') throw new UsageError('an image has no name');
  const whole = imageOf(text, exists);
  if (whole !== undefined) return target(whole.image, whole.partition, undefined);
  const at = colons(text);
  for (const colon of at) {
    const hit = imageOf(text.slice(0, colon), exists);
    if (hit !== undefined) return target(hit.image, hit.partition, text.slice(colon + 1));
  }
  if (/^(https?|nbd):\/\//.test(text)) {
    throw new CommandError('ENOTSUP', 'remote images cannot be opened yet', { image: text });
  }
  const first = at.at(-1);
  const imageText = first === undefined ? text : text.slice(0, first);
  const match = PARTITION.exec(imageText);
  return target(
    match?.[1] ?? imageText,
    match === null ? undefined : Number(match[2]),
    first === undefined ? undefined : text.slice(first + 1),
  );
}

/** As `parseImage`, with a path: `IMAGE` alone means its root when `orRoot`. @throws UsageError when the path is missing */
export function parseInside(text: string, orRoot: boolean, exists: Exists = existsOnHost): ImageTarget & { readonly path: Name } {
  const found = parseImage(text, exists);
  const path = found.path ?? (orRoot ? '/' : undefined);
  if (path === undefined) throw new UsageError(`${text}: no path: write ${found.label}:/path`);
  return { ...found, path };
}

/** As `parseImage`, without a path. @throws UsageError when there is one */
export function parseWhole(text: string, exists: Exists = existsOnHost): ImageTarget {
  const found = parseImage(text, exists);
  if (found.path !== undefined && found.path !== '/') {
    throw new UsageError(`${text}: a whole image is meant here, not ${shown(found.path)} in it`);
  }
  return found;
}

/** For `cp`: an image with a path, or a host path (undefined). A host file of that very name wins. */
export function parseEither(text: string, exists: Exists = existsOnHost): (ImageTarget & { readonly path: Name }) | undefined {
  if (text === '') throw new UsageError('a file has no name');
  if (exists(text)) return undefined;
  if (colons(text).length === 0) return undefined;
  // `dir/a:b` with no image before the colon is a host name that does not exist yet.
  const found = parseImage(text, exists);
  return found.path === undefined ? undefined : { ...found, path: found.path };
}
