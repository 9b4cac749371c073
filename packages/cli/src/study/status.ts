/** The conversion matrix: every driver's operations and how each is done, as the drivers themselves say. */
import { operations as ext2 } from '@iomap/ext2';
import { operations as minix } from '@iomap/minixfs';
import { operations as xfs } from '@iomap/xfs-lite';

/** One driver's column: operation → how ("iomap", "legacy", "buffer cache", "–"), several where a mount option picks. */
export type Operations = Readonly<Record<string, readonly string[]>>;

export const MATRIX: Readonly<Record<string, Operations>> = { ext2, minix, xfs };

/** The rows of the matrix, the first being its head. */
export function statusRows(matrix: Readonly<Record<string, Operations>> = MATRIX): string[][] {
  const types = Object.keys(matrix);
  const names = [...new Set(types.flatMap((type) => Object.keys(matrix[type] ?? {})))];
  const cell = (type: string, name: string): string => {
    const ways = matrix[type]?.[name] ?? [];
    return ways.length === 0 ? '–' : ways.join(', ');
  };
  return [['operation', ...types], ...names.map((name) => [name, ...types.map((type) => cell(type, name))])];
}
