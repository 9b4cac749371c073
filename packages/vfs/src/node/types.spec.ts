/** Compile-time: what takes Node's `fs` takes the facade. The test itself only has to compile (`tsc`). */
import type * as nodeFsModule from 'node:fs';
import type * as nodePromises from 'node:fs/promises';
import { createVfs } from '../index.js';
import { memoryFs } from '../testing/index.js';
import { nodeFs, type NodeFs, type PromisesFace } from './index.js';

type Module = typeof nodeFsModule;
type Promises = typeof nodePromises;

/** Not assignable, each for a reason: our own classes and constants in Node's place, and what always fails. */
type Different =
  | 'promises' | 'constants' | 'Stats' | 'BigIntStats' | 'StatsFs' | 'Dirent' | 'Dir'
  | 'watch' | 'watchFile' | 'unwatchFile' | 'openAsBlob';
type Overlap = Exclude<keyof NodeFs & keyof Module, Different>;
type PromisesOverlap = Exclude<keyof PromisesFace & keyof Promises, 'open' | 'opendir' | 'watch' | 'constants'>;

/** Names of Node's that the facade must have. */
type Wanted =
  | 'readFileSync' | 'readFile' | 'writeFileSync' | 'appendFileSync' | 'openSync' | 'closeSync' | 'readSync' | 'writeSync'
  | 'readvSync' | 'writevSync' | 'opendirSync' | 'readdirSync' | 'mkdirSync' | 'mkdtempSync' | 'rmSync' | 'rmdirSync' | 'cpSync'
  | 'copyFileSync' | 'existsSync' | 'accessSync' | 'statSync' | 'lstatSync' | 'fstatSync' | 'statfsSync' | 'realpathSync'
  | 'symlinkSync' | 'linkSync' | 'unlinkSync' | 'renameSync' | 'truncateSync' | 'ftruncateSync' | 'utimesSync' | 'lutimesSync'
  | 'futimesSync' | 'chmodSync' | 'fchmodSync' | 'chownSync' | 'lchownSync' | 'fchownSync' | 'fsyncSync' | 'fdatasyncSync'
  | 'createReadStream' | 'createWriteStream' | 'stat' | 'exists' | 'readdir' | 'readlinkSync';

const wanted = (fs: NodeFs): Pick<Module, Wanted> => fs;
const overlap = (fs: NodeFs): Pick<Module, Overlap> => fs;
const promisesOverlap = (promises: PromisesFace): Pick<Promises, PromisesOverlap> => promises;

describe('types', () => {
  it("is Node's fs where they overlap, and has every function that its type names", () => {
    const fs = nodeFs(createVfs(memoryFs()));
    for (const face of [wanted(fs), overlap(fs), promisesOverlap(fs.promises)]) {
      for (const value of Object.values(face)) expect(value).toBeDefined();
    }
    const names: readonly Wanted[] = ['readFileSync', 'createReadStream', 'cpSync', 'statfsSync', 'readvSync', 'exists'];
    for (const name of names) expect(typeof fs[name]).toBe('function');
  });
});
