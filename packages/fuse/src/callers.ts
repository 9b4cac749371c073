/**
 * On whose behalf requests run.
 *
 * - `trusted`: the kernel has checked permissions (`default_permissions`); the caller only gives new files their owner.
 * - `checked`: the vfs checks, as the user with all his groups. The kernel does not send those, so they come from /proc.
 */
import { readFileSync } from 'node:fs';
import type { Vfs } from '@iomap/vfs';

/** Bound tables kept; more users than this at a time are rare, and cost only the binding. */
const CALLERS_MAX = 64;

export class CallerTable {
  readonly #vfs: Vfs;
  readonly #callers = new Map<string | number, Vfs>();

  constructor(vfs: Vfs) {
    this.#vfs = vfs;
  }

  trusted(uid: number, gid: number, umask: number): Vfs {
    // The common case, of one user, is one look-up by a small number; larger ones have text for a key.
    const key = uid < 2 ** 20 && gid < 2 ** 20 ? (uid * 2 ** 20 + gid) * 512 + umask : `${uid}:${gid}::${umask}`;
    return this.#callers.get(key) ?? this.#keep(key, this.#vfs.as({ uid, gid, groups: [], umask, privileged: true }));
  }

  checked(uid: number, gid: number, pid: number, umask = 0): Vfs {
    const groups = groupsOf(pid);
    const key = `${uid}:${gid}:${groups.join()}:${umask}`;
    return this.#callers.get(key) ?? this.#keep(key, this.#vfs.as({ uid, gid, groups, umask }));
  }

  #keep(key: string | number, caller: Vfs): Vfs {
    if (this.#callers.size >= CALLERS_MAX) this.#callers.clear();
    this.#callers.set(key, caller);
    return caller;
  }
}

/** The supplementary groups of a process; none when it is gone or of another pid namespace (then `pid` is 0). */
export function groupsOf(pid: number): number[] {
  if (pid === 0) return [];
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const line = /^Groups:[ \t]*([0-9 ]*)$/m.exec(status)?.[1] ?? '';
    return line.split(' ').filter((text) => text !== '').map(Number);
  } catch {
    return [];
  }
}
