export {
  BH_BOUNDARY,
  BH_DIRTY,
  BH_MAPPED,
  BH_NEW,
  BH_UPTODATE,
  BUFFER_HEAD_BYTES,
  BufferHead,
  buffersOf,
  KERNEL_BUFFER_HEAD_BYTES,
  PAGE_BYTES,
} from './buffer-head.js';
export { blockDirectRead, blockDirectWrite } from './direct.js';
export { blockPageMkwrite } from './fault.js';
export { type BlockResult, type BufferInode, type BufferOps, type GetBlock } from './get-block.js';
export { blockBmap, blockFiemap, blockSeek, type BlockExtent } from './map.js';
export { Plug } from './plug.js';
export { fileRead, peekFileRead } from './read.js';
export { blockTruncatePage, invalidatePages, newPages, truncatePages } from './truncate.js';
export { fileWrite, peekFileWrite } from './write.js';
export { writeAndWait, writePages, type PageRange } from './writeback.js';
