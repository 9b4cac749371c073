/** Targets of symbolic links: in the inode, or in blocks of their own, each run of which has a head in version 5. */
import { corrupt, FsError, type Io } from '@iomap/io';
import { needRun } from './dir-blocks.js';
import type { MapRun } from './extents.js';
import { mapFork } from './fork.js';
import { S_IFLNK, type XfsInode } from './inode.js';
import { FORMAT } from './ondisk.js';
import { SYMLINK_MAX, SymlinkRemote } from './ondisk-trees.js';
import { checkOwner } from './verify.js';
import type { Volume } from './volume.js';

/** @throws FsError EINVAL (no link), EUCLEAN, EBADMSG, EIO */
export function* readlink(vol: Volume, inode: XfsInode): Io<Uint8Array> {
  if (inode.type !== S_IFLNK) throw new FsError('EINVAL');
  const { size, data } = inode;
  const bad = (why: string, field: string): FsError => corrupt(why, { ino: inode.ino, field });
  if (size > SYMLINK_MAX) throw bad(`a symbolic link of ${size} bytes`, 'di_size');
  if (data.format === FORMAT.LOCAL) return data.bytes.slice(0, size);
  const { v5, blockSize } = vol.info;
  const head = v5 ? SymlinkRemote.size : 0;
  const target = new Uint8Array(size);
  const run: MapRun = { block: -1, count: 0, unwritten: false };
  let done = 0;
  for (let fileBlock = 0; done < size; fileBlock += run.count) {
    const block = yield* vol.reading(() => {
      if (!mapFork(vol, inode.ino, data, fileBlock, run)) return undefined;
      if (run.block < 0) throw bad('a symbolic link with a hole', 'br_startoff');
      run.count = Math.min(run.count, Math.ceil((size - done + head) / blockSize));
      return needRun(vol, run.block, run.count, vol.ops.symlink);
    });
    const part = Math.min(size - done, run.count * blockSize - head);
    if (v5) {
      const { view } = block;
      const at = SymlinkRemote.offsets;
      checkOwner(view.getUint32(at.sl_owner) * 2 ** 32 + view.getUint32(at.sl_owner + 4), inode.ino, block.pos, 'symlink block');
      if (view.getUint32(at.sl_offset) !== done || view.getUint32(at.sl_bytes) !== part) throw bad('a block of another part of the link', 'sl_offset');
    }
    target.set(block.bytes.subarray(head, head + part), done);
    done += part;
  }
  return target;
}
