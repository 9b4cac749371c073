/** How code in documents is type-checked: as a strict user of the packages would. */
import { join } from 'node:path';
import * as ts from 'typescript';
import { root } from './entries.js';

export const STRICT_USER: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  typeRoots: [join(root, 'node_modules/@types')],
};
