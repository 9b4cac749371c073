import type { Case } from '../case.js';
import { ATTR_CASES } from './attrs.js';
import { DATA_CASES } from './data.js';
import { DIR_CASES } from './dirs.js';
import { NAMES_CASES } from './names.js';
import { OPEN_CASES } from './open.js';
import { NAME_CASES, PATH_CASES } from './paths.js';
import { PERMISSION_CASES } from './permissions.js';
import { RENAME_CASES } from './rename.js';
import { TIME_CASES } from './times.js';
import { XATTR_CASES } from './xattrs.js';

/** The cases for an image with room, mounted for writing. */
export const CASES: readonly Case[] = [
  ...PATH_CASES,
  ...NAME_CASES,
  ...OPEN_CASES,
  ...NAMES_CASES,
  ...RENAME_CASES,
  ...ATTR_CASES,
  ...DATA_CASES,
  ...DIR_CASES,
  ...XATTR_CASES,
  ...PERMISSION_CASES,
  ...TIME_CASES,
];
