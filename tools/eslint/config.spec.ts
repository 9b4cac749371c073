/** The lint configuration as a whole: what must be caught is caught, in the packages where it must be. */
import { join } from 'node:path';
import { ESLint } from 'eslint';
import config from './config.js';

const root = join(__dirname, '../..');

/** The rules that report on `code`, as if it were the file at `path` (which must exist, to be parsed with types). */
async function rulesOn(path: string, code: string): Promise<string[]> {
  const eslint = new ESLint({ cwd: root, overrideConfigFile: true, overrideConfig: config });
  const [result] = await eslint.lintText(code, { filePath: join(root, path) });
  return [...new Set((result?.messages ?? []).map(({ ruleId, message }) => ruleId ?? message))].sort();
}

const io = 'packages/io/src/units.ts';
const core = 'packages/iomap-core/src/iomap.ts';
const vfs = 'packages/vfs/src/filesystem.ts';
const spec = 'packages/ext2/src/package.spec.ts';
const boundaries = '@nx/enforce-module-boundaries';

describe('the lint configuration', () => {
  it.each([
    ['an import from above', io, "export { createVfs } from '@iomap/vfs';", boundaries],
    ['iomap-core that knows the vfs', core, "export type { Inode } from '@iomap/vfs';", boundaries],
    ['the vfs that knows iomap-core', vfs, "export type { Iomap } from '@iomap/iomap-core';", boundaries],
    ['conformance in a library', 'packages/ext2/src/index.ts', "export type { DriverUnderTest } from '@iomap/conformance';", boundaries],
    ['another package by a relative path', vfs, "export { ino } from '../../io/src/units.js';", boundaries],
    ['a deep import', vfs, "export { ino } from '@iomap/io/src/units.js';", 'no-restricted-imports'],
    ['a Node built-in', io, "export { readFileSync } from 'node:fs';", 'no-restricted-imports'],
    ['a Node built-in by its bare name', io, "import { join } from 'path';\nexport const f = join;", 'no-restricted-imports'],
    ['the clock', io, 'export const f = (): number => Date.now();', 'no-restricted-properties'],
    ['a date of now', io, 'export const f = (): Date => new Date();', 'no-restricted-syntax'],
    ['random numbers', io, 'export const f = (): number => Math.random();', 'no-restricted-properties'],
    ['the process', io, 'export const f = (): unknown => process;', 'no-restricted-globals'],
    ['a Buffer', io, 'export const f = (): unknown => Buffer;', 'no-restricted-globals'],
    ['state of the module', io, 'let count = 0;\nexport const f = (): number => count++;', 'no-restricted-syntax'],
    ['an enum', io, 'export enum Colour {\n  Red,\n}', 'no-restricted-syntax'],
    ['a default export', io, 'export default 1;', 'no-restricted-exports'],
    ['any', io, 'export const f = (x: any): unknown => x;', '@typescript-eslint/no-explicit-any'],
    ['a non-null assertion', io, 'export const f = (x: number[]): number => x[0]!;', '@typescript-eslint/no-non-null-assertion'],
    ['a promise nobody waits for', io, 'export const f = (p: Promise<void>): void => {\n  p;\n};', '@typescript-eslint/no-floating-promises'],
    ['an Io nobody runs', vfs, "import type { Io } from '@iomap/io';\nexport const f = (io: () => Io<void>): void => {\n  io();\n};", 'iomap/floating-io'],
  ])('reports %s', async (_, path, code, rule) => {
    expect(await rulesOn(path, `${code}\n`)).toContain(rule);
  });

  it.each([
    ['what lies below', vfs, "export { ino } from '@iomap/io';"],
    ['conformance and tools in a spec', spec, "import type { DriverUnderTest } from '@iomap/conformance';\nimport { describePackage } from '@iomap/tools/testing';\nexport const f = (d: DriverUnderTest): unknown => [d, describePackage];"],
    ['the clock and Node in a spec', spec, "import { readFileSync } from 'node:fs';\nexport const f = (): unknown => [readFileSync, Date.now(), Math.random()];"],
    ['Node in the command', 'packages/cli/src/index.ts', "import { readFileSync } from 'node:fs';\nexport const f = (): unknown => [readFileSync, process.argv];"],
  ])('allows %s', async (_, path, code) => {
    expect(await rulesOn(path, `${code}\n`)).toEqual([]);
  });
});
