export { check, type CheckOptions, type CheckPass, type CheckReport } from './check.js';
export type { Finding, FindingPlace, FindingStructure, Severity } from './check/report.js';
export { mkfs, type MkfsResult } from './mkfs.js';
export { mkfsOptions, type MkfsOptions } from './mkfs-options.js';
export { Ext2FileSystem } from './fs.js';
export { Ext2InodeInCore } from './inode.js';
export { mount, readSuper } from './mount.js';
export { mountOptionsSchema, type MountOptions } from './options.js';
export type { SuperInfo } from './super.js';
