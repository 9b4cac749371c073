export { openAsyncFileDevice } from './async-file.js';
export { openFileDevice, type FileDevice } from './file.js';
export { fileDeviceOptions, type FileDeviceOptions } from '../file-options.js';
