/**
 * The options of a mount: one schema, and how `-o` of mount(8) is read.
 *
 * What mount(8) itself knows (`nosuid`, `nodev`, `noexec`, …) is handed on to it; what only fstab needs is dropped.
 */
import { FsError } from '@iomap/io';
import { z } from 'zod';

const id = z.int().min(0).max(0xffff_fffe);

export const serveOptionsSchema = z.strictObject({
  /** Writes nothing to the image. */
  readOnly: z.boolean().default(false),
  /** May others than the user who mounts use it? (fuse.conf's `user_allow_other` binds only fusermount.) */
  allowOther: z.boolean().default(false),
  /**
   * Who checks permissions: the kernel (`default_permissions`); or the vfs, which then is asked at every step and open; or nobody,
   * as nobody but root can come by (`root`: not with `allowOther`). `auto`: see `permissionsOf`.
   */
  permissions: z.enum(['auto', 'root', 'kernel', 'server']).default('auto'),
  /** Owner and group shown for all files; absent = as in the image. */
  uid: id.optional(),
  gid: id.optional(),
  /** Every change is on the image before its call returns. */
  sync: z.boolean().default(false),
  atime: z.enum(['relatime', 'strictatime', 'noatime']).default('relatime'),
  /** POSIX ACLs are enforced. Only where the kernel checks permissions. */
  acl: z.boolean().default(true),
  /**
   * stat(2) tells creation times where the format has them. It costs a message for each file whose status Node or stat(1)
   * asks for; and Linux's own driver of ext2 tells none.
   */
  btime: z.boolean().default(false),
  /** The kernel gathers writes: small ones get faster, but what a full image says comes late (at fsync or close). */
  writebackCache: z.boolean().default(false),
  /**
   * The image is read and written by Node's thread pool, and requests on different inodes overlap: for an image that answers slowly
   * (a network filesystem). An image that is in the host's memory is served faster without.
   */
  asyncDevice: z.boolean().default(false),
  /**
   * While requests come thick, no processor of the machine sleeps (pace.ts): small requests are answered two to five times as
   * fast, for the power of idle processors that wait awake. Absent = on machines of up to eight processors. Only root's mounts.
   */
  lowLatency: z.boolean().optional(),
  /** Largest READ and WRITE, bytes: a multiple of 4096, as far as the kernel allows (`fs.fuse.max_pages_limit`). */
  requestBytes: z.int().min(131_072).max(1_048_576).multipleOf(4096).default(1_048_576),
  /** Memory for file data, bytes. */
  pageCacheBytes: z.int().min(2 ** 20).default(48 * 2 ** 20),
  /** Memory for metadata blocks, bytes. */
  bufferCacheBytes: z.int().min(2 ** 18).default(16 * 2 ** 20),
  /** How often what is dirty is looked at, ms: an idle mount is written back then, a busy one after six times as long. */
  writebackIntervalMs: z.int().min(50).max(600_000).default(5000),
  /** Options that mount(8) gets as they are. */
  mountFlags: z.array(z.string().regex(/^[a-z][a-z0-9_.=-]*$/)).default([]),
});

export type ServeOptions = z.output<typeof serveOptionsSchema>;
export type ServeOptionsInput = z.input<typeof serveOptionsSchema>;

/** Options without a value, and what they set. */
const FLAGS: Readonly<Record<string, Partial<ServeOptions>>> = {
  ro: { readOnly: true },
  rw: { readOnly: false },
  allow_other: { allowOther: true },
  default_permissions: { permissions: 'kernel' },
  server_permissions: { permissions: 'server' },
  sync: { sync: true },
  async: { sync: false },
  noatime: { atime: 'noatime' },
  relatime: { atime: 'relatime' },
  strictatime: { atime: 'strictatime' },
  atime: { atime: 'relatime' },
  acl: { acl: true },
  noacl: { acl: false },
  btime: { btime: true },
  nobtime: { btime: false },
  async_device: { asyncDevice: true },
  low_latency: { lowLatency: true },
  nolow_latency: { lowLatency: false },
  writeback_cache: { writebackCache: true },
  nowriteback_cache: { writebackCache: false },
};

/** mount(8)'s own: it turns them into flags of the mount. */
const HANDED_ON = new Set(['nosuid', 'suid', 'nodev', 'dev', 'noexec', 'exec', 'nodiratime', 'diratime', 'dirsync', 'lazytime']);
/** Of fstab, for mount(8) and systemd alone. */
const DROPPED = new Set(['defaults', 'auto', 'noauto', 'user', 'nouser', 'users', 'owner', 'group', 'nofail', '_netdev', '']);

const wrong = (why: string): FsError => new FsError('EINVAL', { why });

function numberOf(name: string, value: string): number {
  if (!/^[0-9]{1,10}$/.test(value)) throw wrong(`${name}=${value}: not a number`);
  return Number(value);
}

const MIB = 2 ** 20;

function valued(name: string, value: string): ServeOptionsInput {
  switch (name) {
    case 'uid':
      return { uid: numberOf(name, value) };
    case 'gid':
      return { gid: numberOf(name, value) };
    case 'max_read':
      return { requestBytes: Math.max(131_072, Math.min(MIB, Math.floor(numberOf(name, value) / 4096) * 4096)) };
    case 'cache_mib':
      return { pageCacheBytes: numberOf(name, value) * MIB };
    default:
      throw wrong(`unknown mount option: ${name}`);
  }
}

/**
 * Reads `-o` as the command line or fstab has it.
 * @throws FsError EINVAL naming the option
 */
export function parseMountOptions(text: string): ServeOptions {
  let options: ServeOptionsInput = {};
  const mountFlags: string[] = [];
  for (const part of text.split(',')) {
    const cut = part.indexOf('=');
    const name = cut < 0 ? part : part.slice(0, cut);
    if (DROPPED.has(name) || /^(x-|X-|comment$)/.test(name)) continue;
    if (cut >= 0) options = { ...options, ...valued(name, part.slice(cut + 1)) };
    else if (HANDED_ON.has(name)) mountFlags.push(name);
    else if (FLAGS[name] !== undefined) options = { ...options, ...FLAGS[name] };
    else throw wrong(`unknown mount option: ${name}`);
  }
  return checkOptions({ ...options, mountFlags });
}

/** @throws FsError EINVAL naming the option */
export function checkOptions(input: ServeOptionsInput): ServeOptions {
  const parsed = serveOptionsSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw wrong(`mount option ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

/** Whoever mounts. */
export interface Mounter {
  readonly uid: number;
  readonly gid: number;
  /** Not in a user namespace: root is root. */
  readonly isInitial: boolean;
}

/**
 * Who checks permissions where the options leave it open. Without `allow_other` FUSE lets nobody in but processes that are the
 * mounter in every one of their user and group ids. If that is root there is nothing to check, and the kernel, which doubts
 * what it knows of a folder after every change there, need not ask for its mode before the next.
 */
export function permissionsOf(options: ServeOptions, who: Mounter): Exclude<ServeOptions['permissions'], 'auto'> {
  if (options.permissions !== 'auto' && options.permissions !== 'root') return options.permissions;
  return who.uid === 0 && who.gid === 0 && who.isInitial && !options.allowOther ? 'root' : 'kernel';
}

/** What mount(8) is told with `-o`, but for the descriptor. */
export function kernelOptions(options: ServeOptions, who: Mounter): string[] {
  return [
    'rootmode=40000',
    `user_id=${who.uid}`,
    `group_id=${who.gid}`,
    `max_read=${options.requestBytes}`,
    ...(permissionsOf(options, who) === 'kernel' ? ['default_permissions'] : []),
    ...(options.allowOther ? ['allow_other'] : []),
    ...(options.readOnly ? ['ro'] : []),
    ...(options.sync ? ['sync'] : []),
    ...(options.atime === 'noatime' ? ['noatime'] : []),
    ...options.mountFlags,
  ];
}
