export { CrashImages, type CrashImageOptions } from './crash-images.js';
export {
  exploreCrashes,
  type CrashPoint,
  type Exploration,
  type ExploreOptions,
  type ExploreResult,
} from './explore.js';
export { SimDevice, type InFlight, type SimDeviceOptions, type UnsettledWrite } from './sim-device.js';
export { SimulationError, Simulator, type SimulatorOptions } from './simulator.js';
