/**
 * Where our mounts tell something else than the kernel's own mount of the same format, each with its reason.
 *
 * The suite fails on a difference that is not here, and on one that is here and is no more. docs/posix.md is made of this.
 */
import type { Deviation } from './compare.js';

/** Who checks permissions: the kernel (`default_permissions`), or we (`server_permissions`). */
export type MountName = 'kernel' | 'server';
export const MOUNT_OPTIONS: Readonly<Record<MountName, string>> = {
  kernel: 'allow_other',
  server: 'allow_other,server_permissions',
};

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

const BOTH = ['kernel', 'server'] as const;
const EXT4 = 'Debian\'s kernel serves ext2 images by its ext4 driver. Linux\'s own driver of ext2 answers as we do.';

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    what: '`renameat2(…, RENAME_WHITEOUT)`',
    linux: 'leaves a device 0:0 behind',
    ours: 'EINVAL',
    reason: EXT4,
    mounts: BOTH,
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
    mounts: BOTH,
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
    mounts: BOTH,
    facts: [{ group: 'holes', name: 'a folder', steps: ['lseek d 1000000000 DATA'], got: 'ENXIO', count: 1 }],
  },
  {
    what: 'atime after a read from the kernel\'s cache',
    linux: 'stamped',
    ours: 'not stamped',
    reason: 'The read does not reach the server, and the kernel keeps no atime of FUSE files. Reads that reach us stamp it.',
    mounts: BOTH,
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
    what: 'opening an immutable or append-only file for writing',
    linux: 'EPERM',
    ours: 'opens; the write is EPERM',
    reason: 'The kernel checks permissions and does not know these flags of FUSE files; asking us at each open would cost a message.',
    mounts: ['kernel'],
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
    mounts: BOTH,
    facts: [
      { group: 'a full image', name: 'what is kept for root', steps: ['put root {"fill":"r","count":8192}'], got: 'ENOSPC', count: 1 },
    ],
  },
  {
    what: 'entries of an access ACL that grant more than the mode bits',
    linux: 'granted',
    ours: 'EACCES: mode bits alone count (ACLs are stored, shown and inherited)',
    reason: 'With `server_permissions` the vfs checks, and it knows no ACLs; the default lets the kernel check, which obeys them.',
    mounts: ['server'],
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
