export * from './iomap.js';
