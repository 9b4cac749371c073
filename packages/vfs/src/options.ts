/** The options of `createVfs`: one schema is their validation, their types and their documentation. */
import { systemEnv, type Env } from '@iomap/io';
import { z } from 'zod';

const id = z.int().min(0).max(0xffff_fffe);

export const vfsOptionsSchema = z.strictObject({
  /** Clock, random bytes, uuids. Default: the real world's. */
  env: z.custom<Env>((value) => typeof value === 'object' && value !== null && 'now' in value).default(() => systemEnv()),
  /** Who calls: user, group, further groups. 0 is root, who passes every permission check. */
  uid: id.default(0),
  gid: id.default(0),
  groups: z.array(id).default([]),
  /** Bits taken from the mode of whatever is made. */
  umask: z.int().min(0).max(0o777).default(0o022),
  /** When a read stamps atime. `relatime`: when atime is not after mtime and ctime, or a day old. */
  atime: z.enum(['relatime', 'strictatime', 'noatime']).default('relatime'),
  /** Inodes kept in core; those in use may exceed it. */
  inodesMax: z.int().min(16).default(65_536),
  /** Directory entries remembered, found and not found together. */
  dentriesMax: z.int().min(16).default(262_144),
  /** Symbolic links followed in one path. */
  symlinksMax: z.int().min(0).max(1000).default(40),
  /** Open files at once. */
  filesMax: z.int().min(1).default(65_536),
});

/** What the caller may give. */
export type VfsOptions = z.input<typeof vfsOptionsSchema>;
/** With the defaults filled in. */
export type VfsSettings = z.output<typeof vfsOptionsSchema>;
