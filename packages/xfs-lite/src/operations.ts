/** How each operation of a mount is done, for the conversion matrix. There never was an old way here. */
export const operations: Readonly<Record<string, readonly string[]>> = {
  'buffered read': ['iomap'],
  'buffered write': [],
  writeback: [],
  'direct I/O': [],
  'mapped file': [],
  seek: ['iomap'],
  fiemap: ['iomap'],
  bmap: ['iomap'],
  swapfile: [],
  directories: ['buffer cache'],
  metadata: ['buffer cache'],
};
