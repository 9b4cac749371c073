export { bioBytes, checkBio, failure, hostFailure, MAX_BIO_BYTES } from './bio.js';
export type { BlockDevice, BlockDeviceLimits } from './device.js';
export {
  memoryDevice,
  memoryDeviceFrom,
  memoryDeviceOptions,
  type MemoryDevice,
  type MemoryDeviceOptions,
} from './memory.js';
