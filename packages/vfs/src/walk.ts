/**
 * The path walk. One plain state machine, `advance`, goes as far as the caches know and says what it lacks; the fast path
 * (`peekWalk`) gives up there, the slow path (`walk`, `walkParent`) gets it and goes on. So both obey the same rules.
 *
 * Rules: each directory passed needs search permission; a negative or missing name is ENOENT, a non-directory in the
 * middle (or before a trailing slash) ENOTDIR; more than `symlinksMax` links ELOOP; names and paths too long
 * ENAMETOOLONG; '..' of the root is the root. Relative paths start at the root.
 *
 * Between waits the walk holds no reference: plain code is atomic. Around a wait it holds one on the directory it is in.
 */
import { FsError, type FsCode, type Io } from '@iomap/io';
import type { Caller, VfsCore } from './core.js';
import { stateOf } from './dentry-cache.js';
import type { Inode, Name } from './filesystem.js';
import { isDirectory, isSymlink, PATH_MAX, X_OK } from './modes.js';
import { latin1OfBytes } from './names.js';
import { mayAccess, type Credentials } from './permission.js';

const DONE = 0;
const FAILED = 1;
const NEED_CHILD = 2;
const NEED_LINK = 3;
const NEED_PARENT = 4;

const SLASH = 47;
const DOT = 46;

/** What the last component of a path is, for those who act on its directory. */
export type LastType = 'name' | 'dot' | 'dotdot' | 'root';

/** A walk under way. */
export interface Walk {
  dir: Inode;
  path: string;
  at: number;
  /** Follow a symbolic link in the last place. */
  follow: boolean;
  /** Stop before the last component. */
  parent: boolean;
  links: number;
  /** The last component, when stopped before it. */
  name: Name;
  last: LastType;
  trailingSlash: boolean;
  code: FsCode;
  /** What NEED_LINK wants read. */
  link: Inode | undefined;
  /** An inode (or null: none) that the slow path got for the component at `at`; used once. */
  got: Inode | null | undefined;
  /** Of a walk that has ended in a name: the directory of the last component, and where that begins in `path`. */
  above: Inode;
  lastAt: number;
}

const newWalk = (dir: Inode, path: string, follow: boolean, parent: boolean): Walk => ({
  dir,
  path,
  at: 0,
  follow,
  parent,
  links: 0,
  name: '',
  last: 'root',
  trailingSlash: false,
  code: 'ENOENT',
  link: undefined,
  got: undefined,
  above: dir,
  lastAt: 0,
});

/**
 * The directory of the last fast walk, by the text that led to it: whoever reads one file of a folder reads the next. Good
 * for as long as `DentryCache.epoch` stands still.
 */
export interface LastPlace {
  /** The path up to and with its last slash. */
  prefix: string;
  dir: Inode;
  epoch: number;
  cred: Credentials;
}

/** Is `path` one name below the last place, for the same caller? */
const isBelow = (last: LastPlace, path: string, { core, cred }: Caller): boolean =>
  last.epoch === core.dentries.epoch && last.cred === cred && path.startsWith(last.prefix) && path.indexOf('/', last.prefix.length) < 0;

function notePlace(walk: Walk, { core, cred }: Caller): void {
  const prefix = walk.path.slice(0, walk.lastAt);
  const { epoch } = core.dentries;
  const last = core.lastPlace;
  if (last === undefined) {
    core.lastPlace = { prefix, dir: walk.above, epoch, cred };
    return;
  }
  last.prefix = prefix;
  last.dir = walk.above;
  last.epoch = epoch;
  last.cred = cred;
}

function fail(walk: Walk, code: FsCode): number {
  walk.code = code;
  return FAILED;
}

/**
 * What the caches (and the driver's cached blocks) know of a name: an inode without a reference, null = no such name,
 * undefined = a wait is needed. No permission check.
 */
export function peekChild(core: VfsCore, dir: Inode, name: Name): Inode | null | undefined {
  let number = core.dentries.get(dir, name);
  if (number === undefined) {
    if (core.fs.peekLookup === undefined || !dir.lock.tryRead(true)) return undefined;
    try {
      number = core.fs.peekLookup(dir, name);
    } finally {
      dir.lock.unlockRead();
    }
    if (number === undefined) return undefined;
    core.dentries.set(dir, name, number);
  }
  if (number === 0) return null;
  const inode = core.inodes.peekOrMake(number);
  if (inode === undefined) return undefined;
  // `lookupLocked` says what is wrong.
  return isDirectory(inode.mode) && !isOnlyIn(dir, inode) ? undefined : inode;
}

/** Has the directory `child` no other parent than `dir`? The first one it is met in is its parent. */
function isOnlyIn(dir: Inode, child: Inode): boolean {
  if (child === dir) return false;
  const state = stateOf(child);
  if (state.parent === 0) state.parent = dir.ino;
  return state.parent === dir.ino;
}

/** Goes into a link's target: what is left of the path comes after it. */
function follow(walk: Walk, core: VfsCore, target: string, rest: number): number {
  if (++walk.links > core.settings.symlinksMax) return fail(walk, 'ELOOP');
  if (target === '') return fail(walk, 'ENOENT');
  const path = rest < walk.path.length ? target + walk.path.slice(rest) : target;
  if (path.length > PATH_MAX) return fail(walk, 'ENAMETOOLONG');
  walk.path = path;
  walk.at = 0;
  return DONE;
}

/** Plain: goes on from where the walk is until done, failed or in need of a wait. */
function advance(walk: Walk, caller: Caller, root: Inode): number {
  const { core, cred } = caller;
  for (;;) {
    const { path } = walk;
    let at = walk.at;
    if (at === 0 && path.charCodeAt(0) === SLASH) walk.dir = root;
    while (path.charCodeAt(at) === SLASH) at++;
    walk.at = at;
    const { dir } = walk;
    if (at >= path.length) return isDirectory(dir.mode) ? DONE : fail(walk, 'ENOTDIR');
    if (!isDirectory(dir.mode)) return fail(walk, 'ENOTDIR');
    let end = path.indexOf('/', at);
    if (end < 0) end = path.length;
    let next = end;
    while (path.charCodeAt(next) === SLASH) next++;
    const isLast = next >= path.length;
    const dots = path.charCodeAt(at) !== DOT ? 0 : end - at === 1 ? 1 : end - at === 2 && path.charCodeAt(at + 1) === DOT ? 2 : 0;
    if (walk.parent && isLast) {
      walk.last = dots === 0 ? 'name' : dots === 1 ? 'dot' : 'dotdot';
      walk.name = path.slice(at, end);
      walk.trailingSlash = end < path.length;
      if (walk.name.length > core.fs.traits.nameMaxBytes) return fail(walk, 'ENAMETOOLONG');
      return mayAccess(cred, dir, X_OK) ? DONE : fail(walk, 'EACCES');
    }
    if (!mayAccess(cred, dir, X_OK)) return fail(walk, 'EACCES');
    stateOf(dir).walked = true;
    if (dots === 1) {
      walk.at = next;
      continue;
    }
    let child = walk.got;
    walk.got = undefined;
    if (dots === 2) {
      child ??= dir === root ? root : core.inodes.peek(stateOf(dir).parent);
      if (child === undefined || child === null) return NEED_PARENT;
      walk.dir = child;
      walk.at = next;
      continue;
    }
    if (end - at > core.fs.traits.nameMaxBytes) return fail(walk, 'ENAMETOOLONG');
    if (child === undefined) {
      const name = path.slice(at, end);
      child = peekChild(core, dir, name);
      if (child === undefined) {
        walk.name = name;
        return NEED_CHILD;
      }
    }
    if (child === null) return fail(walk, 'ENOENT');
    const state = stateOf(child);
    state.used = true;
    if (isSymlink(child.mode) && (!isLast || walk.follow || end < path.length)) {
      if (state.link === undefined) {
        walk.link = child;
        return NEED_LINK;
      }
      const status = follow(walk, core, state.link, end);
      if (status !== DONE) return status;
      continue;
    }
    walk.dir = child;
    walk.at = next;
    if (isLast) {
      walk.above = dir;
      walk.lastAt = at;
      return end === path.length || isDirectory(child.mode) ? DONE : fail(walk, 'ENOTDIR');
    }
  }
}

/**
 * The inode at `path` if the caches know it all: no wait, no reference. null = certainly not there (ENOENT);
 * undefined = take `walk` (which also gives the reason of any other failure).
 */
export function peekWalk(caller: Caller, path: string, followLast: boolean): Inode | null | undefined {
  const root = caller.core.peekRoot();
  if (root === undefined || path === '' || path.length > PATH_MAX) return undefined;
  const walk = (caller.core.scratchWalk ??= newWalk(root, path, followLast, false));
  const last = caller.core.lastPlace;
  const isShort = last !== undefined && isBelow(last, path, caller);
  walk.dir = isShort ? last.dir : root;
  walk.path = path;
  walk.at = isShort ? last.prefix.length : 0;
  walk.follow = followLast;
  walk.links = 0;
  walk.lastAt = 0;
  const status = advance(walk, caller, root);
  if (status === DONE) {
    if (!isShort && walk.links === 0 && walk.lastAt > 1) notePlace(walk, caller);
    return walk.dir;
  }
  return status === FAILED && walk.code === 'ENOENT' ? null : undefined;
}

/**
 * The inode under `name`, referenced, or undefined; the caller holds the directory's lock, shared or exclusive.
 * No permission check.
 * @throws FsError EUCLEAN when a directory turns up in two places; the driver's
 */
export function* lookupLocked(core: VfsCore, dir: Inode, name: Name): Io<Inode | undefined> {
  let number = core.dentries.get(dir, name);
  if (number === undefined) {
    number = core.fs.peekLookup?.(dir, name) ?? (yield* core.fs.lookup(dir, name));
    core.dentries.set(dir, name, number);
  }
  if (number === 0) return undefined;
  const inode = yield* core.inodes.get(number);
  if (isDirectory(inode.mode) && !isOnlyIn(dir, inode)) {
    core.inodes.put(inode);
    throw new FsError('EUCLEAN', { why: 'a directory is entered twice', detail: { ino: number } });
  }
  return inode;
}

/** The inode under `name`, referenced, or undefined. Takes the directory's lock, shared, where it has to wait. */
export function* lookupChild(core: VfsCore, dir: Inode, name: Name): Io<Inode | undefined> {
  const hit = peekChild(core, dir, name);
  if (hit === null) return undefined;
  if (hit !== undefined) {
    hit.refs++;
    return hit;
  }
  if (!dir.lock.tryRead()) yield* dir.lock.read();
  try {
    return yield* lookupLocked(core, dir, name);
  } finally {
    dir.lock.unlockRead();
  }
}

/** A link's target as a byte string, read once. Takes the inode's lock, shared. */
export function* readLink(core: VfsCore, inode: Inode): Io<string> {
  const state = stateOf(inode);
  if (state.link !== undefined) return state.link;
  if (!inode.lock.tryRead()) yield* inode.lock.read();
  try {
    const target = yield* core.fs.readlink(inode);
    const link = latin1OfBytes(target);
    if (link === '' || link.includes('\0')) {
      throw new FsError('EUCLEAN', { why: 'bad target of a symbolic link', detail: { ino: inode.ino } });
    }
    state.link = link;
    return link;
  } finally {
    inode.lock.unlockRead();
  }
}

/** The parent of a directory, referenced: from what walks have seen, else from its '..' entry. */
export function* parentOf(core: VfsCore, dir: Inode): Io<Inode> {
  const state = stateOf(dir);
  if (state.parent === 0) {
    let number = 0;
    if (!dir.lock.tryRead(true)) yield* dir.lock.read();
    try {
      yield* core.fs.readdir(dir, 0, (name, ino) => {
        if (name === '..') number = ino;
        return number === 0;
      });
    } finally {
      dir.lock.unlockRead();
    }
    if (number === 0) throw new FsError('EUCLEAN', { why: "no '..' entry", detail: { ino: dir.ino } });
    if (state.parent === 0) state.parent = number;
  }
  const parent = yield* core.inodes.get(state.parent);
  if (!isDirectory(parent.mode)) {
    core.inodes.put(parent);
    throw new FsError('EUCLEAN', { why: "'..' is not a directory", detail: { ino: dir.ino } });
  }
  return parent;
}

/** Runs a walk to its end, waiting where it must. On return the walk's directory is referenced. */
function* run(walk: Walk, caller: Caller, root: Inode): Io<void> {
  const { core } = caller;
  const { inodes } = core;
  let held: Inode | undefined;
  try {
    for (;;) {
      const status = advance(walk, caller, root);
      const { dir } = walk;
      if (status === FAILED) throw new FsError(walk.code);
      dir.refs++;
      if (held !== undefined) inodes.put(held);
      held = undefined;
      if (status === DONE) return;
      try {
        if (status === NEED_CHILD) {
          held = yield* lookupChild(core, dir, walk.name);
          walk.got = held ?? null;
        } else if (status === NEED_PARENT) {
          held = yield* parentOf(core, dir);
          walk.got = held;
        } else {
          const { link } = walk;
          if (link === undefined) throw new FsError('EINVAL');
          link.refs++;
          held = link;
          walk.got = link;
          yield* readLink(core, link);
        }
      } finally {
        inodes.put(dir);
      }
    }
  } finally {
    if (held !== undefined) inodes.put(held);
  }
}

function checkPath(path: string): void {
  if (path === '') throw new FsError('ENOENT');
  if (path.length > PATH_MAX) throw new FsError('ENAMETOOLONG');
}

/**
 * The inode at `path`, referenced.
 * @throws FsError ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG; the driver's
 */
export function* walkTo(caller: Caller, path: string, followLast: boolean): Io<Inode> {
  const hit = peekWalk(caller, path, followLast);
  if (hit === null) throw new FsError('ENOENT');
  if (hit !== undefined) {
    hit.refs++;
    return hit;
  }
  checkPath(path);
  const root = yield* caller.core.root();
  const walk = newWalk(root, path, followLast, false);
  yield* run(walk, caller, root);
  return walk.dir;
}

/** Where a path ends: the directory (referenced), the last name, and what was said of it. */
export interface Place {
  readonly dir: Inode;
  readonly name: Name;
  readonly last: LastType;
  readonly trailingSlash: boolean;
}

/**
 * The directory that holds the last component of `path`, referenced; the last component is neither looked up nor followed.
 * @throws FsError as `walkTo`
 */
export function* walkParent(caller: Caller, path: string, from?: Inode): Io<Place> {
  checkPath(path);
  const root = yield* caller.core.root();
  const walk = newWalk(from ?? root, path, false, true);
  yield* run(walk, caller, root);
  return walk;
}
