#!/usr/bin/env node
/** The `iomap` command. */
import { loadCommand } from './bundle.js';

const { main, processTerminal } = await loadCommand();
process.exitCode = await main(process.argv.slice(2), processTerminal());
