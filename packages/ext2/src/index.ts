export { mkfs, type MkfsResult } from './mkfs.js';
export { mkfsOptions, type MkfsOptions } from './mkfs-options.js';
