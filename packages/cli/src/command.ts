/** What the command's start needs: the entry of the bundle (tools/scripts/bundle.mjs). */
export { main } from './program.js';
export { processTerminal } from './terminal.js';
