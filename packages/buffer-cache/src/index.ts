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
