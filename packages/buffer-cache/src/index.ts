export type * from './struct.js';
