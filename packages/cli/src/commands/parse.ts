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
  };
}

/** Block numbers, comma-separated. @throws UsageError */
function badBlocks(list: string | undefined): readonly number[] | undefined {
  if (list === undefined) return undefined;
  if (!/^[0-9]{1,15}(,[0-9]{1,15})*$/.test(list)) throw new UsageError(`--bad-blocks: not a list of numbers: ${list}`);
  return list.split(',').map(Number);
}
