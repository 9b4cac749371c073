/**
 * Where our mounts tell something else than the kernel's own mount of the same format, each with its reason.
 *
 * The suite fails on a difference that is not here, and on one that is here and is no more. docs/posix.md is made of this.
 */
import type { Deviation } from './compare.js';

/** Our mounts: as it is by default (the kernel checks permissions), where we check them, where the kernel gathers writes. */
export type MountName = 'default' | 'server_permissions' | 'writeback_cache';
export const MOUNT_NAMES: readonly MountName[] = ['default', 'server_permissions', 'writeback_cache'];

export interface KnownDifference {
  /** In words, for the table. */
  readonly what: string;
  readonly linux: string;
  readonly ours: string;
  readonly reason: string;
  /** On which mounts. */
  readonly mounts: readonly MountName[];
  /** The facts: group and name of the case, the beginning of the step as reported, what we say, and how many facts it is. */
  readonly facts: readonly {
    readonly group: string;
    readonly name: string;
    readonly steps: readonly string[];
    readonly got: string;
    readonly count: number;
  }[];
}

const KERNEL_CHECKS = ['default', 'writeback_cache'] as const;
const WRITE_THROUGH = ['default', 'server_permissions'] as const;
const WRITEBACK = ['writeback_cache'] as const;
const EXT4 = 'Debian\'s kernel serves ext2 images by its ext4 driver. Linux\'s own driver of ext2 answers as we do.';

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    what: '`renameat2(…, RENAME_WHITEOUT)`',
    linux: 'leaves a device 0:0 behind',
    ours: 'EINVAL',
    reason: EXT4,
    mounts: MOUNT_NAMES,
    facts: [
      { group: 'renameat2', name: 'WHITEOUT', steps: ['rename a b WHITEOUT'], got: 'EINVAL', count: 1 },
      { group: 'renameat2', name: 'WHITEOUT', steps: ['lstat a .type'], got: 'file', count: 1 },
      { group: 'renameat2', name: 'WHITEOUT', steps: ['cat b'], got: 'ENOENT', count: 1 },
    ],
  },
  {
    what: '`fallocate(FALLOC_FL_PUNCH_HOLE)`',
    linux: 'punches a hole',
    ours: 'EOPNOTSUPP',
    reason: EXT4,
    mounts: MOUNT_NAMES,
    facts: [
      { group: 'holes', name: 'punched', steps: ['fallocate f 3 4096 8192'], got: 'EOPNOTSUPP', count: 1 },
      { group: 'holes', name: 'punched', steps: ['sum f'], got: '20480:x*20480', count: 1 },
      { group: 'holes', name: 'punched', steps: ['lseek f 0 HOLE'], got: '20480', count: 1 },
      { group: 'holes', name: 'punched', steps: ['lseek f 4096 DATA'], got: '4096', count: 1 },
    ],
  },
  {
    what: '`lseek(SEEK_DATA)` far behind the end of a folder',
    linux: 'the position',
    ours: 'ENXIO',
    reason: 'The kernel answers for folders of FUSE by itself, from their size.',
    mounts: MOUNT_NAMES,
    facts: [{ group: 'holes', name: 'a folder', steps: ['lseek d 1000000000 DATA'], got: 'ENXIO', count: 1 }],
  },
  {
    what: '`ioctl(FS_IOC_FIEMAP)`',
    linux: 'the extents',
    ours: 'EOPNOTSUPP',
    reason: 'The kernel does not pass it on to FUSE servers. `SEEK_DATA` and `SEEK_HOLE` tell where the data is.',
    mounts: MOUNT_NAMES,
    facts: [{ group: 'holes', name: 'FIEMAP', steps: ['extents f'], got: 'EOPNOTSUPP', count: 1 }],
  },
  {
    what: '`chown(file, -1, -1)` of a setuid file by a stranger',
    linux: 'EPERM',
    ours: 'takes setuid away',
    reason: 'The request is the one that comes before a write, which may be a stranger\'s: FUSE does not tell them apart.',
    mounts: MOUNT_NAMES,
    facts: [
      { group: 'chown', name: 'to nobody and no group, by a stranger', steps: ['[1000:1000] chown f -1 -1'], got: 'ok', count: 1 },
      { group: 'chown', name: 'to nobody and no group, by a stranger', steps: ['stat f .mode'], got: '0755', count: 1 },
    ],
  },
  {
    what: 'atime after a read from the kernel\'s cache',
    linux: 'stamped',
    ours: 'not stamped',
    reason: 'The read does not reach the server, and the kernel keeps no atime of FUSE files. Reads that reach us stamp it.',
    mounts: WRITE_THROUGH,
    facts: [
      {
        group: 'access times',
        name: 'are stamped when older than the change (relatime)',
        steps: ['moved f'],
        got: '-',
        count: 1,
      },
    ],
  },
  {
    what: 'atime after a read of what has just been written, and after mmap(2)',
    linux: 'stamped',
    ours: 'not stamped',
    reason: 'Also what was written is in the kernel\'s cache here, so that no read comes to the server.',
    mounts: WRITEBACK,
    facts: [
      { group: 'access times', name: 'are stamped when older than the change (relatime)', steps: ['moved f'], got: '-', count: 2 },
      { group: 'times', name: 'mmapwrite f 4 0 x', steps: ['moved d/f'], got: 'mc', count: 1 },
    ],
  },
  {
    what: 'opening an immutable or append-only file for writing',
    linux: 'EPERM',
    ours: 'opens; the write is EPERM',
    reason: 'The kernel checks permissions and does not know these flags of FUSE files; asking us at each open would cost a message.',
    mounts: KERNEL_CHECKS,
    facts: [
      { group: 'immutable and append-only', name: 'immutable', steps: ['open d/f O_WRONLY'], got: 'ok', count: 1 },
      { group: 'immutable and append-only', name: 'append-only', steps: ['open d/f O_WRONLY'], got: 'ok', count: 1 },
    ],
  },
  {
    what: 'blocks kept for root, on a full image',
    linux: 'root writes on',
    ours: 'ENOSPC for root too',
    reason: 'The driver allocates without knowing for whom; what is kept stays a reserve for repairs.',
    mounts: WRITE_THROUGH,
    facts: [
      { group: 'a full image', name: 'what is kept for root', steps: ['put root {"fill":"r","count":8192}'], got: 'ENOSPC', count: 1 },
    ],
  },
  {
    what: 'free blocks after a write, before the fsync',
    linux: 'less',
    ours: 'as before',
    reason: 'The kernel has not sent the data yet, and FUSE has no way to reserve room for it.',
    mounts: WRITEBACK,
    facts: [{ group: 'open', name: 'what an unlinked file took comes back', steps: ['taken . .blocks'], got: 'false', count: 2 }],
  },
  {
    what: 'a write behind the largest file of the format',
    linux: 'EFBIG',
    ours: 'taken; the fsync is EFBIG',
    reason: 'The kernel takes writes into its cache before it asks, and cannot be told how large files may be.',
    mounts: WRITEBACK,
    facts: [
      { group: 'read and write', name: 'further than the format can', steps: ['pwrite f x 35184372088832'], got: '1', count: 1 },
      { group: 'read and write', name: 'further than the format can', steps: ['fstat f .size'], got: '35184372088833', count: 2 },
      {
        group: 'read and write',
        name: 'further than the format can',
        steps: ['pread f 10 8589934592'],
        got: `data:x${'\0'.repeat(9)}`,
        count: 1,
      },
    ],
  },
  {
    what: 'a write to an immutable file',
    linux: 'EPERM',
    ours: 'EIO at the close; seen in the cache until then',
    reason: 'The kernel takes writes into its cache before it asks.',
    mounts: WRITEBACK,
    facts: [
      { group: 'immutable and append-only', name: 'immutable', steps: ['append d/f x'], got: 'EIO', count: 1 },
      { group: 'immutable and append-only', name: 'immutable', steps: ['cat d/f'], got: 'data:abcx', count: 1 },
    ],
  },
  {
    what: 'mtime and ctime after `truncate` to the size that the file has',
    linux: 'stamped',
    ours: 'not stamped',
    reason: 'With this cache the kernel keeps these times, and moves them only when the size changes.',
    mounts: WRITEBACK,
    facts: [{ group: 'times', name: 'truncate d/f 7', steps: ['moved d/f'], got: '-', count: 1 }],
  },
  {
    what: 'entries of an access ACL that grant more than the mode bits',
    linux: 'granted',
    ours: 'EACCES: mode bits alone count (ACLs are stored, shown and inherited)',
    reason: 'With `server_permissions` the vfs checks, and it knows no ACLs; the default lets the kernel check, which obeys them.',
    mounts: ['server_permissions'],
    facts: [
      { group: 'ACLs', name: 'are obeyed', steps: [''], got: 'EACCES', count: 24 },
      { group: 'ACLs', name: 'of folders are obeyed', steps: [''], got: 'EACCES', count: 4 },
      { group: 'read-only', name: 'by others', steps: ['[1000:1000] cat full/g'], got: 'EACCES', count: 1 },
    ],
  },
];

/** What is not listed among `found`, and what is listed and not among it (or another number of times), in words. */
export function judge(mount: MountName, found: readonly Deviation[]): { readonly unlisted: Deviation[]; readonly gone: string[] } {
  const left = new Set(found);
  const gone: string[] = [];
  for (const known of KNOWN_DIFFERENCES) {
    if (!known.mounts.includes(mount)) continue;
    for (const { group, name, steps, got, count } of known.facts) {
      const hits = [...left].filter(
        (one) => one.group === group && one.name === name && one.got === got && steps.some((step) => one.step.startsWith(step)),
      );
      for (const hit of hits) left.delete(hit);
      if (hits.length !== count) gone.push(`${known.what} (${group}: ${name}: ${steps.join()}): ${hits.length} of ${count}`);
    }
  }
  return { unlisted: [...left], gone };
}
