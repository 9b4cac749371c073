/** What a check of ext2 finds fault with. */
import type { Finding as AnyFinding, Findings as AnyFindings } from '@iomap/block-map';

/** The structure that a finding is about, as people who repair filesystems name it. */
export type FindingStructure =
  | 'superblock'
  | 'group-descriptor'
  | 'block-bitmap'
  | 'inode-bitmap'
  | 'inode'
  | 'block-map'
  | 'xattr'
  | 'directory'
  | 'directory-index'
  | 'tree';

export type Finding = AnyFinding<FindingStructure>;
export type Findings = AnyFindings<FindingStructure>;
