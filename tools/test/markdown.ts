/** The blocks of code of a page in Markdown, and whether those that mount can run here. */
import { existsSync } from 'node:fs';

export interface Block {
  readonly language: string;
  readonly code: string;
  /** Of the block's first fence, from 1. */
  readonly line: number;
}

export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? '',
    code: match[2] ?? '',
    line: markdown.slice(0, match.index).split('\n').length,
  }));
}

/** Root, and /dev/fuse; with CI=true they have to be there. */
export const canMount = (): boolean => (existsSync('/dev/fuse') && process.getuid?.() === 0) || process.env['CI'] === 'true';

/** Before a script that mounts at `mnt`: takes the mount away again when it fails. */
export const UNMOUNT_AT_EXIT = "trap 'umount -l mnt 2>/dev/null || true' EXIT";
