/**
 * A mounted image that is being changed: the vfs over it, and the reading face on the same inodes. Acts as root in the
 * image: whoever may write the file that holds it may change all of it. What is made belongs to 0:0 unless said otherwise.
 */
import { runSync, type Io } from '@iomap/io';
import { createVfs, type FileSystem, type Name, type Vfs } from '@iomap/vfs';
import { at } from './errors.js';
import { shown } from './names.js';
import { ImageTree } from './tree.js';

export interface Editor {
  readonly vfs: Vfs;
  readonly fs: FileSystem;
  readonly tree: ImageTree;
  /** The image's name, for messages. */
  readonly label: string;
  /** Runs one operation; a failure says the image and `path`. */
  run<T>(path: Name, io: Io<T>): T;
  /** Unmounts: everything is written and the image is clean. */
  close(): void;
}

export function openEditor(fs: FileSystem, label: string): Editor {
  const vfs = createVfs(fs, { umask: process.umask() });
  const tree = new ImageTree(fs, {
    load: (ino) => runSync(vfs.iget(ino)),
    drop: (inode) => vfs.iput(inode),
  });
  return {
    vfs,
    fs,
    tree,
    label,
    run: (path, io) => at({ image: label, path: shown(path) }, () => runSync(io)),
    close: () =>
      at({ image: label }, () => {
        tree.forget();
        runSync(vfs.unmount());
      }),
  };
}
