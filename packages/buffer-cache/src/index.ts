export {
  layout,
  readU64,
  writeU64,
  type ByteOrder,
  type FieldInfo,
  type FieldSpec,
  type FieldTable,
  type FieldType,
  type IntArray,
  type Layout,
  type View,
  type ViewBase,
} from './struct.js';
export { Buf, type BufOps, type BufWhere, type Fault, type Shortcut } from './buf.js';
export { BufferCache, type BufferCacheCounters, type BufferCacheOptions } from './buffer-cache.js';
export { DelwriList } from './delwri.js';
