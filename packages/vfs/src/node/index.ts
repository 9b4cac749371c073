export { nodeFs, type NodeFs, type NodeFsOptions, type PromisesFace } from './node-fs.js';
export { constants } from './constants.js';
export type { CallbackFace, PromiseFace, RunnerKind, SyncFace } from './derive.js';
export { Dir } from './dir.js';
export { Dirent } from './dirent.js';
export { FileHandle, type ReadResult, type WriteResult } from './file-handle.js';
export { BigIntStats, Stats, StatsFs } from './stats.js';
