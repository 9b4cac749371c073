/**
 * Branded integers, one name per unit. Arithmetic drops the brand, so only a named conversion puts it back.
 * `pos` and `len` in the field's signatures are always bytes.
 */
declare const unit: unique symbol;

/** `B` that counts or addresses in unit `N`. */
export type Unit<B, N extends string> = B & { readonly [unit]: N };

/** A filesystem block number on its device. */
export type FsBlock = Unit<number, 'FsBlock'>;
/** A block number inside a file. */
export type FileBlock = Unit<number, 'FileBlock'>;
/** An inode number. */
export type Ino = Unit<number, 'Ino'>;

export const fsBlock = (n: number): FsBlock => n as FsBlock;
export const fileBlock = (n: number): FileBlock => n as FileBlock;
export const ino = (n: number): Ino => n as Ino;

/** Rounds `n` down to a multiple of `unitSize` (any positive integer, no 32-bit truncation). */
export const roundDown = (n: number, unitSize: number): number => n - (n % unitSize);
/** Rounds `n` up to a multiple of `unitSize`. */
export const roundUp = (n: number, unitSize: number): number => {
  const rest = n % unitSize;
  return rest === 0 ? n : n + unitSize - rest;
};
/** Integer division, rounding up. */
export const divCeil = (n: number, d: number): number => Math.ceil(n / d);
/** Integer division, rounding down. */
export const divFloor = (n: number, d: number): number => Math.floor(n / d);
/** True for 1, 2, 4, … */
export const isPowerOfTwo = (n: number): boolean => Number.isSafeInteger(n) && n > 0 && Number.isInteger(Math.log2(n));
