export * from './iomap.js';
export * from './fiemap.js';
export * from './stub.js';
export { IomapCounters, type IomapEvent } from '@iomap/page-cache';
