export { IomapCounters, type IomapEvent } from '@iomap/page-cache';
export { PLAIN, type IoControl } from './control.js';
export { bufferedAtomicMax } from './atomic.js';
export { directRead, directWrite } from './direct.js';
export { bmap, fiemap, type FiemapExtent, type FiemapFlag, type FiemapOptions } from './fiemap.js';
export {
  IOMAP_ATOMIC,
  IOMAP_DIRECT,
  IOMAP_F_ATOMIC_BIO,
  IOMAP_F_BUFFERED,
  IOMAP_F_DIRTY,
  IOMAP_F_MERGED,
  IOMAP_F_NEW,
  IOMAP_F_SHARED,
  IOMAP_FAULT,
  IOMAP_NOWAIT,
  IOMAP_OVERWRITE_ONLY,
  IOMAP_REPORT,
  IOMAP_UNSHARE,
  IOMAP_WRITE,
  IOMAP_ZERO,
  newIomap,
  type DioEnd,
  type DioOps,
  type FolioOps,
  type IoendInfo,
  type Iomap,
  type IomapInode,
  type IomapOps,
  type IomapType,
  type WritebackOps,
} from './iomap.js';
export { pageMkwrite, type Store } from './fault.js';
export { punchDelalloc } from './delalloc.js';
export { invalidateSlow, shiftPrepare, withoutFaults, writeOut } from './invalidate.js';
export { MappedFile, type MappedFileOptions } from './mapped-file.js';
export { IomapIter } from './iter.js';
export { bufferedRead, peekBufferedRead } from './read.js';
export { swapActivate, type SwapExtent, type SwapMap, type SwapOptions } from './swap.js';
export { seekData, seekHole } from './seek.js';
export { invalidateRange, punchPageCache, truncatePageCache } from './truncate.js';
export { unshareRange } from './unshare.js';
export { bufferedWrite, peekBufferedWrite } from './write.js';
export { type CopySource } from './write-folio.js';
export { startWriteback, syncFileRange, writeback, writebackInto, writebackOlder, type SyncFileRange } from './writeback.js';
export { WritebackBatch } from './writeback-batch.js';
export { truncatePage, zeroRange } from './zero.js';
export { peekReadWhole } from './read-whole.js';
