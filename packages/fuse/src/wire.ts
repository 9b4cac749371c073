/** Numbers of the wire that the struct tables leave to their readers: signed seconds, and counts that may be nonsense. */

const TWO32 = 2 ** 32;

/**
 * A 64-bit count. Above 2^53 it is inexact, and no safe integer: who needs one checks, and answers with the code of the call.
 */
export const getCount = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO32;

/** `value`: an integer ≥ 0. */
export function putCount(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO32, true);
  view.setUint32(at + 4, Math.floor(value / TWO32), true);
}

/** Signed seconds since the epoch. */
export const getSeconds = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getInt32(at + 4, true) * TWO32;

/** Signed: `setInt32` takes the floor of what is below zero. */
export function putSeconds(view: DataView, at: number, sec: number): void {
  const high = Math.floor(sec / TWO32);
  view.setUint32(at, sec - high * TWO32, true);
  view.setInt32(at + 4, high, true);
}

/**
 * A device number as the kernel packs it in 32 bits (`new_encode_dev`): 12 bits of major, 20 of minor. glibc's makedev(3)
 * packs the same way below those sizes, so a vfs `rdev` passes as it is.
 */
export const encodeDevice = (rdev: number): number => rdev % TWO32;
