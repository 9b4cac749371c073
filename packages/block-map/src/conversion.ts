/** How each operation of a mount is done, for the conversion matrix of `iomap study status`: what a mounted driver says of itself. */
import { DIR_HOME_NAMES, type DirHomeKind } from './dir-home.js';

/** Operation → how; "" = the mount has no such operation. */
export type Conversion = Readonly<Record<string, '' | 'iomap' | 'legacy' | 'buffer cache' | 'page cache, by iomap'>>;

/** Of a mount whose files all go one way. */
export function conversionOf(mount: { readonly files: 'iomap' | 'legacy'; readonly swap: boolean; readonly home: DirHomeKind }): Conversion {
  const { files } = mount;
  return {
    'buffered read': files,
    'buffered write': files,
    writeback: files,
    'direct I/O': files,
    'mapped file': files,
    seek: files,
    fiemap: files,
    bmap: files,
    swapfile: mount.swap ? files : '',
    directories: DIR_HOME_NAMES[mount.home],
    metadata: 'buffer cache',
  };
}
