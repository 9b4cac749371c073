/** Free blocks and inodes: the superblock's counts, or the sum over the groups where the superblock's may be stale. */
import type { Io } from '@iomap/io';
import { checkHeader } from './ag.js';
import { AGF_MAGIC, AGI_MAGIC, XfsAgf, XfsAgi } from './ondisk.js';
import type { Volume } from './volume.js';

export interface Counts {
  readonly icount: number;
  readonly ifree: number;
  readonly fdblocks: number;
}

/** Sums the headers of all groups. Waits on: two reads a group. @throws FsError EUCLEAN, EBADMSG, EIO */
export function* sumGroups(vol: Volume): Io<Counts> {
  let icount = 0;
  let ifree = 0;
  let fdblocks = 0;
  for (let ag = 0; ag < vol.info.agCount; ag++) {
    const agf = yield* vol.reading(() => vol.needHeader(ag, 1, AGF_MAGIC));
    checkHeader(agf, ag, XfsAgf.offsets.agf_seqno);
    const { view } = agf;
    const at = XfsAgf.offsets;
    fdblocks += view.getUint32(at.agf_freeblks) + view.getUint32(at.agf_flcount);
    // Blocks of the free-space trees count as free: they are given back as space fills.
    if (vol.info.hasLazyCount) fdblocks += view.getUint32(at.agf_btreeblks);
    const agi = yield* vol.reading(() => vol.needHeader(ag, 2, AGI_MAGIC));
    checkHeader(agi, ag, XfsAgi.offsets.agi_seqno);
    icount += agi.view.getUint32(XfsAgi.offsets.agi_count);
    ifree += agi.view.getUint32(XfsAgi.offsets.agi_freecount);
  }
  return { icount, ifree, fdblocks };
}
