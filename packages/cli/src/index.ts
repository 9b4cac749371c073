export { CommandError, UsageError } from './errors.js';
export { openImage, type Image, type OpenImageOptions } from './open-image.js';
export { main } from './program.js';
export { processTerminal, type Terminal } from './terminal.js';
