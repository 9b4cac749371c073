export { openMemfsDevice, type MemfsLike, type MemfsStats } from './open.js';
export { fileDeviceOptions, type FileDeviceOptions } from '../file-options.js';
