export { bioBytes, checkBio, failure, hostFailure, MAX_BIO_BYTES } from './bio.js';
export { crc32 } from './crc32.js';
export type { BlockDevice, BlockDeviceLimits } from './device.js';
export {
  faultDevice,
  faultPlanSchema,
  faultSchema,
  type Fault,
  type FaultDevice,
  type FaultPlan,
} from './fault.js';
export {
  memoryDevice,
  memoryDeviceFrom,
  memoryDeviceOptions,
  type MemoryDevice,
  type MemoryDeviceOptions,
} from './memory.js';
export { mergeBios, plugged, submitMerged, submitMergedDetached } from './merge.js';
export {
  overlayDevice,
  overlayDeviceOptions,
  type ByteRange,
  type OverlayDevice,
  type OverlayDeviceOptions,
} from './overlay.js';
export { partitionDevice, partitionDeviceOptions, type PartitionDeviceOptions } from './partition.js';
export { readPartitions, type Partition } from './partition-table.js';
export {
  traceDevice,
  traceDeviceOptions,
  type OpCounters,
  type TraceCounters,
  type TraceDevice,
  type TraceDeviceOptions,
  type TraceEntry,
} from './trace.js';
