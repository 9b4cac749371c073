/** Options as commands read them: checked, with defaults. */
import { UsageError } from '../errors.js';
import { parseSize, parseUuid } from '../format.js';
import type { FormatRequest } from '../drivers.js';
import type { Options } from './table.js';

export const flag = (options: Options, key: string): boolean => options[key] === true;

export function text(options: Options, key: string): string | undefined {
  const value = options[key];
  return typeof value === 'string' ? value : undefined;
}

/** A whole number. @throws UsageError */
export function count(options: Options, key: string, name: string): number | undefined {
  const value = text(options, key);
  if (value === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(value)) throw new UsageError(`${name}: not a number: ${value}`);
  return Number(value);
}

export function size(options: Options, key: string): number | undefined {
  const value = text(options, key);
  return value === undefined ? undefined : parseSize(value);
}

/** What mkfs and build say of the filesystem to make. @throws UsageError */
export function formatOptions(options: Options): Omit<FormatRequest, 'env'> & { readonly type: string } {
  const uuid = text(options, 'uuid');
  const reserved = text(options, 'reserved');
  if (reserved !== undefined && !(/^[0-9]{1,2}(\.[0-9]+)?$/.test(reserved) && Number(reserved) <= 50)) {
    throw new UsageError(`--reserved: not a percentage from 0 to 50: ${reserved}`);
  }
  const features = text(options, 'features');
  return {
    type: text(options, 'type') ?? 'ext2',
    label: text(options, 'label'),
    uuid: uuid === undefined ? undefined : parseUuid(uuid),
    blockSize: size(options, 'blockSize'),
    inodeSize: count(options, 'inodeSize', '--inode-size'),
    inodes: count(options, 'inodes', '--inodes'),
    features: features?.split(',').map((name) => name.trim()).filter((name) => name !== ''),
    badBlocks: badBlocks(text(options, 'badBlocks')),
    reservedPercent: reserved === undefined ? undefined : Number(reserved),
    ...xfsOptions(options),
  };
}

/** What XFS alone has. @throws UsageError */
function xfsOptions(options: Options): Pick<FormatRequest, 'sectorSize' | 'directorySize' | 'groups' | 'logSize' | 'stripe'> {
  const isXfs = text(options, 'type') === 'xfs';
  for (const [key, name] of [['sectorSize', '--sector-size'], ['directorySize', '--directory-size'], ['groups', '--groups'], ['logSize', '--log-size'], ['stripe', '--stripe']] as const) {
    if (options[key] !== undefined && !isXfs) throw new UsageError(`${name}: only XFS has it`);
  }
  return {
    sectorSize: size(options, 'sectorSize'),
    directorySize: size(options, 'directorySize'),
    groups: count(options, 'groups', '--groups'),
    logSize: size(options, 'logSize'),
    stripe: stripe(text(options, 'stripe')),
  };
}

/** @throws UsageError */
function stripe(value: string | undefined): FormatRequest['stripe'] {
  if (value === undefined) return undefined;
  const found = /^([^:]+):([0-9]{1,5})$/.exec(value);
  if (found === null) throw new UsageError(`--stripe: not a unit and a number of them, as in 64K:4: ${value}`);
  const unit = parseSize(found[1] ?? '');
  return { unit, width: unit * Number(found[2]) };
}

/** Block numbers, comma-separated. @throws UsageError */
function badBlocks(list: string | undefined): readonly number[] | undefined {
  if (list === undefined) return undefined;
  if (!/^[0-9]{1,15}(,[0-9]{1,15})*$/.test(list)) throw new UsageError(`--bad-blocks: not a list of numbers: ${list}`);
  return list.split(',').map(Number);
}
