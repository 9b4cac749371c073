/** Where the findings of a check are in the tree: paths for those that name an inode. */
import { ROOT_INO } from '../ondisk.js';
import type { Finding } from './report.js';
import type { CheckState } from './state.js';

/** A Web API that Node and browsers share; core packages compile without either's globals. */
declare const TextDecoder: new () => { decode(bytes: Uint8Array): string };

/** Names on the way up; a longer way is a loop. */
const DEPTH_MAX = 4096;

const textOf = (name: string): string => new TextDecoder().decode(Uint8Array.from(name, (c) => c.charCodeAt(0)));

/** A path of `ino`, where passes 1 and 2 met the names on the way. */
function pathOf({ dirs, names }: CheckState, ino: number): string | undefined {
  if (ino === ROOT_INO) return '/';
  const parts: string[] = [];
  let at = dirs.get(ino) ?? names.get(ino);
  for (let depth = 0; at !== undefined && at.parent !== 0 && depth < DEPTH_MAX; depth++) {
    parts.push(textOf(at.name));
    if (at.parent === ROOT_INO) return `/${parts.reverse().join('/')}`;
    at = dirs.get(at.parent);
  }
  return undefined;
}

/** The findings, with paths. */
export function withPaths(state: CheckState, findings: readonly Finding[]): Finding[] {
  return findings.map((one) => {
    const path = one.ino === undefined || one.path !== undefined ? undefined : pathOf(state, one.ino);
    return path === undefined ? one : { ...one, path };
  });
}
