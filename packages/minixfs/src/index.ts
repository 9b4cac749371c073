export { check, type CheckOptions, type CheckReport, type MinixFinding, type MinixStructure } from './check.js';
export { mkfs, type MkfsResult } from './mkfs.js';
export { mkfsOptions, type MkfsOptions } from './mkfs-options.js';
export { MinixFileSystem } from './fs.js';
export { MinixInode } from './inode.js';
export { mount } from './mount.js';
export { mountOptionsSchema, type MountOptions } from './options.js';
export { readSuper, variantOf, type Geometry, type SuperInfo } from './super.js';
