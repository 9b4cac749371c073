export { memoryFs, type MemoryFs, type MemoryFsOptions } from './memory-fs.js';
