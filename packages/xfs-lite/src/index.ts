export { crc32c } from './crc32c.js';
export { rawSuper, readLogState, type RawSuper } from './facts.js';
export { featureNames, type FeatureWords } from './features.js';
export { XfsFileSystem } from './fs.js';
export { XfsInode } from './inode.js';
export type { LogState } from './log/head.js';
export { mount, readSuper } from './mount.js';
export { mountOptionsSchema, type MountOptions } from './options.js';
export { isXfs, type SuperInfo } from './super.js';
