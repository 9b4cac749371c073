/** One block of a directory as bytes, whichever home it lives in (dir-home.ts), and what stands for one that is not mapped. */
import { corrupt } from '@iomap/io';

/** Blocks of a directory read at once where they are in order. */
export const DIR_READAHEAD_BLOCKS = 32;

/** One block of a directory, as bytes. They die when the block is let go: hold it across waits. */
export interface DirBlock {
  /** Bytes from the start of the device (0 where that is not known without a wait); -1: it is not mapped. For messages. */
  readonly pos: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Keeps it in memory until `put`. */
  hold(): DirBlock;
  put(): void;
}

/** Is this the stand-in for a block that is not mapped? It may be read only. */
export const isHole = (block: DirBlock): boolean => block.pos < 0;

/** What stands for a block that is not mapped. */
export type AtHole = (dir: { readonly ino: number }, index: number) => DirBlock;

/** @throws FsError (the function) EUCLEAN where a directory may have no holes */
export function holeBlock(hole: 'corrupt' | 'empty', dirBytes: number): AtHole {
  const bytes = new Uint8Array(hole === 'empty' ? dirBytes : 0);
  const empty: DirBlock = { pos: -1, bytes, view: new DataView(bytes.buffer), hold: () => empty, put: () => undefined };
  return (dir, index) => {
    if (hole === 'empty') return empty;
    throw corrupt('a hole in a directory', { ino: dir.ino, pos: index * dirBytes });
  };
}
