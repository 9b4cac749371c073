/** How each operation of a mount is done, for the conversion matrix: several answers where the mount option `io` picks. */
export const operations: Readonly<Record<string, readonly string[]>> = {
  'buffered read': ['iomap', 'legacy'],
  'buffered write': ['iomap', 'legacy'],
  writeback: ['iomap', 'legacy'],
  'direct I/O': ['iomap', 'legacy'],
  'mapped file': ['iomap', 'legacy'],
  seek: ['iomap', 'legacy'],
  fiemap: ['iomap', 'legacy'],
  bmap: ['iomap', 'legacy'],
  swapfile: [],
  directories: ['buffer cache'],
  metadata: ['buffer cache'],
};
