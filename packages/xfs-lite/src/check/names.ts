/** Names of directories as they are met: what each says of the inode it leads to is noted with that inode. */
import type { CheckContext } from './context.js';
import { CLAIM_MIXED, type InodeTable } from './inode-table.js';

const FTYPE_MAX = 7;
const FTYPE_DIRECTORY = 2;

export class NameSink {
  readonly #context: CheckContext;
  readonly #inodes: InodeTable;

  constructor(context: CheckContext, inodes: InodeTable) {
    this.#context = context;
    this.#inodes = inodes;
  }

  /** '.' of a directory. */
  dot(slot: number): void {
    const { links } = this.#inodes;
    links[slot] = (links[slot] ?? 0) + 1;
  }

  /** '..' of a directory. */
  dotDot(dir: number, slot: number, parent: number): void {
    const { links, parent: parents } = this.#inodes;
    const to = this.#inodes.slot(parent);
    if (to < 0) {
      this.#context.report.add('directory', 'dot-dot', `'..' leads to ${parent}, which is no inode`, { ino: dir });
      return;
    }
    links[to] = (links[to] ?? 0) + 1;
    parents[slot] = to + 1;
  }

  /** A name that leads to `ino`, of which it says `ftype` (where the format has it). */
  name(dir: number, slot: number, ino: number, ftype: number): void {
    const { links, claim, namedIn } = this.#inodes;
    const to = this.#inodes.slot(ino);
    if (to < 0) {
      this.#context.report.add('directory', 'dangling-name', `an entry leads to ${ino}, which is no inode`, { ino: dir });
      return;
    }
    if (this.#context.info.hasFtype && (ftype === 0 || ftype > FTYPE_MAX)) {
      this.#context.report.add('directory', 'ftype', `an entry says type ${ftype} of inode ${ino}`, { ino: dir });
    }
    links[to] = (links[to] ?? 0) + 1;
    const before = claim[to] ?? 0;
    if (before === 0) claim[to] = Math.min(ftype + 1, CLAIM_MIXED - 1);
    else if (before !== ftype + 1) claim[to] = CLAIM_MIXED;
    if (ftype === FTYPE_DIRECTORY && (namedIn[to] ?? 0) !== 0) this.#context.report.add('directory', 'directory-twice', 'a directory has two names', { ino });
    namedIn[to] = slot + 1;
  }
}
