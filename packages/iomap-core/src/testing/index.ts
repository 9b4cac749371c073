export { ExtentFs, mountExtentFs, type ExtentFsOptions } from './extent-fs.js';
export { directOps, ExtentInode, extentOps, writebackOps } from './extent-inode.js';
export { ExtentMap, type Extent, type ExtentState } from './extent-map.js';
export { ExtentFile, reflink } from './open-file.js';
export { format, type FileSnapshot, type Geometry } from './snapshot.js';
