/**
 * The seeded generator of the random workload: it looks at the model to pick operations that mostly succeed, keeps the
 * population near the profile's targets, and asks for errors now and then.
 */
import type { Name } from '@iomap/vfs';
import { Model, type FormatLimits, type ModelEntry, type ModelNode } from './model.js';
import type { Op, OpKind, Outcome, XattrMode } from './op.js';
import { random, type Random } from './random.js';

export interface Profile {
  readonly name: string;
  /** Relative frequency of each operation; absent = never. */
  readonly weights: Partial<Record<OpKind, number>>;
  /** About how many files, directories and bytes of data there are after a while. */
  readonly filesTarget: number;
  readonly dirsTarget: number;
  readonly bytesTarget: number;
  readonly depthMax: number;
  /** Bytes in one write, and the highest position of an ordinary file. */
  readonly writeMax: number;
  readonly fileMax: number;
  /** The highest position of a sparse write or an extending truncate. */
  readonly sparseMax: number;
  readonly nameMax: number;
  /** 'ascii' where the subject's names are text, 'bytes' where any byte but NUL and '/' will do. */
  readonly names: 'ascii' | 'bytes';
  /** Bytes of one xattr value. */
  readonly xattrMax: number;
  /** How often a path is wrong on purpose (0 … 1). */
  readonly errors: number;
  /** True: the image fills up, and ENOSPC is an answer. */
  readonly full: boolean;
  /** What the format's fields hold, for the model. */
  readonly limits?: FormatLimits;
}

const MIXED: Profile = {
  name: 'mixed',
  weights: {
    create: 10, mkdir: 3, mknod: 1, symlink: 3, link: 3, rename: 6, unlink: 7, rmdir: 2,
    write: 18, read: 12, truncate: 5, stat: 6, readdir: 2, readlink: 1, chmod: 2, chown: 1,
    setxattr: 4, getxattr: 2, removexattr: 2, listxattr: 1,
    open: 3, close: 2, hwrite: 3, hread: 2, htruncate: 1, hstat: 1, hfsync: 0.2, fsync: 0.5, sync: 0.05, remount: 0.01,
  },
  filesTarget: 400,
  dirsTarget: 60,
  bytesTarget: 8 * 1024 * 1024,
  depthMax: 8,
  writeMax: 40_000,
  fileMax: 300_000,
  sparseMax: 2 ** 31,
  nameMax: 255,
  names: 'bytes',
  xattrMax: 120,
  errors: 0.04,
  full: false,
};

/** Ready-made profiles; take one and change what a case needs. */
export const PROFILES = {
  mixed: MIXED,
  /** Many names, little data: directories grow, split and shrink. */
  names: {
    ...MIXED,
    name: 'names',
    weights: { create: 20, mkdir: 3, symlink: 5, link: 5, rename: 15, unlink: 18, rmdir: 3, stat: 8, readdir: 1, remount: 0.01 },
    filesTarget: 3000,
    dirsTarget: 12,
    depthMax: 3,
  },
  /** Few files, much data: holes, truncates, indirect blocks. */
  data: {
    ...MIXED,
    name: 'data',
    weights: { create: 2, unlink: 1.5, write: 30, read: 20, truncate: 12, hwrite: 8, hread: 6, htruncate: 3, open: 3, close: 3, fsync: 1, remount: 0.02 },
    filesTarget: 30,
    dirsTarget: 3,
  },
  /** For a small image that fills up again and again. */
  full: { ...MIXED, name: 'full', filesTarget: 100_000, bytesTarget: 2 ** 40, sparseMax: 2 ** 26, full: true },
  /** Few and small files, for images of half a MiB. */
  small: {
    ...MIXED,
    name: 'small',
    filesTarget: 40,
    dirsTarget: 10,
    bytesTarget: 150_000,
    writeMax: 6000,
    fileMax: 40_000,
    sparseMax: 2 ** 24,
    depthMax: 4,
    full: true,
  },
} as const satisfies Record<string, Profile>;

const HANDLES = 6;
const XATTR_NAMES = ['user.a', 'user.mime_type', 'user.x.y', 'trusted.t', `user.${'n'.repeat(60)}`, 'user.\xe9'];

/** Makes operations one at a time; the caller applies each to the model before it asks for the next. */
export class OpGenerator {
  readonly profile: Profile;
  readonly #random: Random;
  readonly #model: Model;
  readonly #kinds: OpKind[] = [];
  readonly #bounds: number[] = [];
  #total = 0;
  #filling = true;
  #refusals = 0;
  #namesWhenFull = 0;

  constructor(seed: number, profile: Profile, model: Model, lacks: ReadonlySet<OpKind> = new Set()) {
    this.profile = profile;
    this.#random = random(seed);
    this.#model = model;
    for (const kind of Object.keys(profile.weights) as OpKind[]) {
      const weight = profile.weights[kind] ?? 0;
      if (lacks.has(kind) || weight <= 0) continue;
      this.#total += weight;
      this.#kinds.push(kind);
      this.#bounds.push(this.#total);
    }
  }

  /** The next operation. */
  next(): Op {
    for (;;) {
      const at = (this.#random.u32() / 2 ** 32) * this.#total;
      let index = 0;
      while ((this.#bounds[index] ?? Infinity) <= at) index++;
      const op = this.#make(this.#steer(this.#kinds[index] ?? 'stat'));
      if (op !== undefined) return op;
    }
  }

  /** Turns growth into shrinking, and back, near the targets. A full image is emptied by half, then filled again. */
  #steer(kind: OpKind): OpKind {
    const { lists, chunkBytes } = this.#model;
    const { profile } = this;
    const count = lists.file.length + lists.symlink.length + lists.special.length;
    if (profile.full) {
      if (!this.#filling && count > 0 && (kind === 'create' || kind === 'write' || kind === 'mkdir')) return 'unlink';
      return kind;
    }
    if (kind === 'create' && count > profile.filesTarget) return 'unlink';
    if (kind === 'unlink' && count < profile.filesTarget / 2) return 'create';
    if (kind === 'mkdir' && lists.directory.length > profile.dirsTarget) return 'rmdir';
    if (kind === 'write' && chunkBytes > profile.bytesTarget) return this.#random.chance(0.5) ? 'truncate' : 'unlink';
    return kind;
  }

  /** For a profile that fills up: an operation was refused. After a few of those the generator shrinks the tree. */
  noteFull(names: number): void {
    if (!this.#filling || ++this.#refusals < 40) return;
    this.#filling = false;
    this.#namesWhenFull = names;
  }

  /** For a profile that fills up: grows again when about half of the names have gone. */
  noteNames(names: number): void {
    if (this.#filling || names > this.#namesWhenFull / 2) return;
    this.#filling = true;
    this.#refusals = 0;
  }

  #newName(): Name {
    const r = this.#random;
    const { names, nameMax } = this.profile;
    const kind = r.below(20);
    if (kind === 0) return this.#text(r.between(Math.min(100, nameMax), nameMax));
    if (kind === 1 && names === 'bytes') {
      let name = '';
      for (let n = r.between(1, 12); n > 0; n--) name += String.fromCharCode(r.between(0x80, 0xff));
      return name;
    }
    if (kind < 6) return this.#text(r.between(Math.min(8, nameMax), Math.min(40, nameMax)));
    return `f${r.below(100_000).toString(36)}`;
  }

  #text(length: number): Name {
    let text = '';
    while (text.length < length) text += `${this.#random.u32().toString(36)}-`;
    // A name is not '.' or '..', and does not end where a shell would trip.
    return text.slice(0, length);
  }

  #dir(): ModelNode {
    const { directory } = this.#model.lists;
    const at = this.#random.below(directory.length + 1);
    return directory[at]?.node ?? this.#model.root;
  }

  #entryOf(list: readonly ModelEntry[]): ModelEntry | undefined {
    if (list.length === 0) return undefined;
    // Recent names come up more often: bugs like work in progress.
    const r = this.#random;
    const at = r.chance(0.3) ? list.length - 1 - r.below(Math.min(8, list.length)) : r.below(list.length);
    return list[at];
  }

  #join(dir: ModelNode, name: Name): Name {
    return dir.place === undefined ? name : `${this.#model.pathOf(dir.place)}/${name}`;
  }

  /** A path for a new name; sometimes one that exists, has no parent, or is too long. */
  #newPath(): Name {
    const r = this.#random;
    if (r.chance(this.profile.errors)) return this.#wrongPath();
    let dir = this.#dir();
    while (this.#model.depthOf(dir) >= this.profile.depthMax) dir = dir.place?.dir ?? this.#model.root;
    return this.#join(dir, this.#newName());
  }

  #wrongPath(): Name {
    const r = this.#random;
    const file = this.#entryOf(this.#model.lists.file);
    const any = this.#any();
    switch (r.below(4)) {
      case 0:
        return file === undefined ? 'nowhere/x' : `${this.#model.pathOf(file)}/x`;
      case 1:
        return any === undefined ? 'nothing' : this.#model.pathOf(any);
      case 2:
        return this.#join(this.#dir(), 'missing-directory/x');
      default:
        return this.#join(this.#dir(), 'L'.repeat(256));
    }
  }

  #any(): ModelEntry | undefined {
    const { file, directory, symlink, special } = this.#model.lists;
    const at = this.#random.below(10);
    return this.#entryOf(at < 6 ? file : at < 8 ? directory : at < 9 ? symlink : special);
  }

  /** The path of something that exists: of one of `lists`, or of anything when an error is wanted. */
  #path(...names: (keyof Model['lists'])[]): Name | undefined {
    const r = this.#random;
    if (r.chance(this.profile.errors)) {
      return r.chance(0.5) ? this.#join(this.#dir(), 'no-such-name') : this.#pathOf(this.#any());
    }
    return this.#pathOf(this.#entryOf(this.#model.lists[r.pick(names)]));
  }

  /** A path for a call that follows symlinks: of a `right` one or, when an error is wanted, of nothing or a `wrong` one. */
  #followed(right: 'file' | 'directory', wrong: 'file' | 'directory'): Name | undefined {
    const r = this.#random;
    if (r.chance(this.profile.errors)) {
      if (r.chance(0.5)) return this.#join(this.#dir(), 'no-such-name');
      return this.#pathOf(this.#entryOf(this.#model.lists[wrong]));
    }
    return this.#pathOf(this.#entryOf(this.#model.lists[right]));
  }

  #filePath(): Name | undefined {
    return this.#followed('file', 'directory');
  }

  #pathOf(entry: ModelEntry | undefined): Name | undefined {
    return entry === undefined ? undefined : this.#model.pathOf(entry);
  }

  #range(size: number): { pos: number; len: number } {
    const r = this.#random;
    const { writeMax, fileMax, sparseMax } = this.profile;
    const len = r.chance(0.6) ? r.between(1, Math.min(3000, writeMax)) : r.between(1, writeMax);
    const kind = r.below(12);
    if (kind < 4) return { pos: Math.min(size, fileMax), len };
    if (kind < 7) return { pos: r.below(Math.max(1, Math.min(size, fileMax))), len };
    if (kind < 9) return { pos: r.below(fileMax / 4096) * 4096, len: r.between(1, Math.max(1, Math.floor(writeMax / 4096))) * 4096 };
    if (kind < 11) return { pos: r.below(fileMax), len };
    // A sparse write: near one of the places where an index level of some format ends.
    const edge = 2 ** r.between(16, Math.floor(Math.log2(sparseMax)));
    return { pos: Math.max(0, Math.min(sparseMax, edge) - r.below(writeMax)), len };
  }

  #size(size: number): number {
    const r = this.#random;
    const kind = r.below(10);
    if (kind < 2) return 0;
    if (kind < 7) return r.below(Math.max(1, Math.min(size, this.profile.fileMax)));
    if (kind < 9) return r.below(this.profile.fileMax);
    return r.below(this.profile.sparseMax);
  }

  /** A file's size; -1 for what is not a file. */
  #sizeAt(path: Name): number {
    const found = this.#model.apply({ op: 'stat', path });
    const size = found.code === 'ok' ? Number(String(found.value).split(' ')[4]) : 0;
    return Number.isNaN(size) ? -1 : size;
  }

  #slot(open: boolean): number | undefined {
    const slot = this.#random.below(HANDLES);
    return this.#model.handles.has(slot) === open ? slot : undefined;
  }

  #make(kind: OpKind): Op | undefined {
    const r = this.#random;
    switch (kind) {
      case 'create':
        return { op: kind, path: this.#newPath(), mode: r.pick([0o644, 0o600, 0o755, 0o700, 0o4755, 0o2755, 0o444]) };
      case 'mkdir':
        // mkdir(2) takes no set-id bits.
        return { op: kind, path: this.#newPath(), mode: r.pick([0o755, 0o700, 0o1777, 0o555]) };
      case 'mknod': {
        const mode = r.pick([0o010644, 0o140755, 0o020600, 0o060660]);
        const isDevice = (mode & 0o170000) === 0o020000 || (mode & 0o170000) === 0o060000;
        return { op: kind, path: this.#newPath(), mode, rdev: isDevice ? this.#rdev() : 0 };
      }
      case 'symlink':
        return { op: kind, path: this.#newPath(), target: this.#text(r.pick([1, 7, 30, 58, 59, 60, 61, 255, 900])) };
      case 'link':
      case 'rename':
        return this.#two(kind);
      case 'unlink':
        return this.#on(kind, this.#path('file', 'file', 'file', 'symlink', 'special'));
      case 'rmdir':
        return this.#on(kind, this.#path('directory'));
      case 'stat':
        return this.#on(kind, this.#path('file', 'directory', 'symlink', 'special'));
      case 'readdir':
        return this.#on(kind, r.chance(0.2) ? '' : this.#followed('directory', 'file'));
      case 'readlink':
        return this.#on(kind, this.#path('symlink'));
      case 'fsync':
      case 'listxattr':
        return this.#on(kind, this.#filePath());
      case 'sync':
      case 'remount':
        return { op: kind };
      case 'setxattr':
      case 'getxattr':
      case 'removexattr':
        return this.#xattr(kind);
      case 'chmod':
      case 'chown':
        return this.#attribute(kind);
      case 'open':
      case 'close':
      case 'hstat':
      case 'hfsync':
      case 'hwrite':
      case 'hread':
      case 'htruncate':
        return this.#onHandle(kind);
      default:
        return this.#data(kind);
    }
  }

  /** Old encodings hold 8 + 8 bits, new ones 12 + 20: glibc's makedev order. */
  #rdev(): number {
    const r = this.#random;
    const major = r.chance(0.5) ? r.below(256) : r.below(4096);
    const minor = r.chance(0.5) ? r.below(256) : r.below(2 ** 20);
    return major * 256 + (minor % 256) + Math.floor(minor / 256) * 2 ** 20;
  }

  #on(op: 'unlink' | 'rmdir' | 'stat' | 'readdir' | 'readlink' | 'listxattr' | 'fsync', path: Name | undefined): Op | undefined {
    return path === undefined ? undefined : { op, path };
  }

  #two(op: 'link' | 'rename'): Op | undefined {
    const r = this.#random;
    const path = op === 'link' ? this.#path('file', 'file', 'symlink', 'special') : this.#path('file', 'file', 'directory', 'symlink');
    if (path === undefined) return undefined;
    // One error at a time: which of two comes first is not what this workload is about.
    const exists = this.#model.apply({ op: 'stat', path }).code === 'ok';
    if (!exists) return { op, path, to: this.#join(this.#dir(), this.#newName()) };
    if (r.chance(0.7)) return { op, path, to: this.#newPath() };
    const to = this.#pathOf(this.#any());
    return to === undefined ? undefined : { op, path, to };
  }

  #xattr(op: 'setxattr' | 'getxattr' | 'removexattr'): Op | undefined {
    const r = this.#random;
    const path = this.#pathOf(this.#entryOf(this.#model.lists[r.chance(0.8) ? 'file' : 'directory']));
    if (path === undefined) return undefined;
    const name = r.pick(XATTR_NAMES);
    if (op !== 'setxattr') return { op, path, name };
    const mode: XattrMode = r.chance(0.8) ? 'any' : r.chance(0.5) ? 'create' : 'replace';
    // Few values, so that formats which share equal blocks do so.
    return { op, path, name, at: r.below(12) * 997, len: r.pick([0, 1, 4, 17, 64, this.profile.xattrMax]), mode };
  }

  #attribute(op: 'chmod' | 'chown'): Op | undefined {
    const r = this.#random;
    const path = this.#filePath();
    if (path === undefined) return undefined;
    // A set-gid directory hands its group on, which the model leaves out.
    if (op === 'chmod') return { op, path, mode: r.below(0o10000) & (this.#sizeAt(path) === -1 ? 0o5777 : 0o7777) };
    return { op, path, uid: r.pick([0, 1000, 65_534, 65_536, 2 ** 31]), gid: r.pick([0, 100, 65_537]) };
  }

  #onHandle(op: 'open' | 'close' | 'hstat' | 'hfsync' | 'hwrite' | 'hread' | 'htruncate'): Op | undefined {
    const slot = this.#slot(op !== 'open');
    if (slot === undefined) return undefined;
    if (op === 'open') {
      const path = this.#pathOf(this.#entryOf(this.#model.lists.file));
      return path === undefined ? undefined : { op, slot, path };
    }
    const size = this.#model.handles.get(slot)?.size ?? 0;
    if (op === 'hwrite') return { op, slot, ...this.#range(size), at: this.#random.below(1_000_000) };
    if (op === 'hread') return { op, slot, ...this.#range(size) };
    if (op === 'htruncate') return { op, slot, size: this.#size(size) };
    return { op, slot };
  }

  #data(op: OpKind): Op | undefined {
    const path = this.#filePath();
    if (path === undefined) return undefined;
    const size = Math.max(0, this.#sizeAt(path));
    if (op === 'write') return { op, path, ...this.#range(size), at: this.#random.below(1_000_000) };
    if (op === 'read') return { op, path, ...this.#range(size) };
    return { op: 'truncate', path, size: this.#size(size) };
  }
}

/** `count` operations and what the model says of each: a workload without a subject. */
export function generateOps(seed: number, profile: Profile, count: number): { readonly op: Op; readonly expected: Outcome }[] {
  const model = new Model({ full: profile.full });
  const generator = new OpGenerator(seed, profile, model);
  const ops: { op: Op; expected: Outcome }[] = [];
  for (let n = 0; n < count; n++) {
    const op = generator.next();
    ops.push({ op, expected: model.apply(op) });
  }
  return ops;
}
