import { inodeTreeExtra } from '../mkfs/group.js';
import { parseMkfsOptions } from '../mkfs/options.js';
import { planXfs } from '../mkfs/plan.js';
import { planRooms } from './space.js';

const MIB = 2 ** 20;

describe('planRooms', () => {
  it.each([
    { finobt: true, reflink: true },
    { finobt: true, reflink: false },
    { finobt: false, reflink: true },
    { finobt: false, reflink: false },
  ])('leaves room behind inodes that fill groups for the trees that name them: %j', (features) => {
    for (const [blockSize, groupBytes] of [[1024, 64 * MIB], [1024, 500 * MIB], [4096, 64 * MIB], [4096, 4096 * MIB], [65_536, 4096 * MIB]] as const) {
      const settings = parseMkfsOptions({ blockSize, agCount: 3, inobtcount: features.finobt, ...features });
      const plan = planXfs(settings, 3 * groupBytes, 512);
      const inodes = Math.floor(1.5 * plan.agBlocks * plan.inodesPerBlock);
      const rooms = planRooms(plan, inodes);
      for (const { layout, start, end } of rooms) expect(Math.max(start, end) + inodeTreeExtra(plan, layout.inodes)).toBeLessThanOrEqual(layout.length);
      expect(rooms.reduce((sum, { layout }) => sum + (layout.inodes?.used ?? 0), 0)).toBe(inodes);
    }
  });
});
