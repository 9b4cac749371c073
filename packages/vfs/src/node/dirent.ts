/** `Dirent`: a directory's entry, in Node's shape. */
import type { FileType } from '../index.js';

/** A directory's entry. `N` is string, or Buffer for the encoding 'buffer'. */
export class Dirent<N extends string | Buffer = string> {
  readonly name: N;
  /** The folder it is in, as the caller named it. */
  readonly parentPath: string;
  readonly path: string;
  readonly #type: FileType;

  constructor(name: N, parentPath: string, type: FileType) {
    this.name = name;
    this.parentPath = parentPath;
    this.path = parentPath;
    this.#type = type;
  }

  isFile(): boolean {
    return this.#type === 'file';
  }

  isDirectory(): boolean {
    return this.#type === 'directory';
  }

  isSymbolicLink(): boolean {
    return this.#type === 'symlink';
  }

  isFIFO(): boolean {
    return this.#type === 'fifo';
  }

  isSocket(): boolean {
    return this.#type === 'socket';
  }

  isBlockDevice(): boolean {
    return this.#type === 'block';
  }

  isCharacterDevice(): boolean {
    return this.#type === 'char';
  }
}
