import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, runSync, SeededRandom } from '@iomap/io';
import { createVfs, O_RDONLY, type Vfs } from '@iomap/vfs';
import { nodeFs, type NodeFs } from '@iomap/vfs/node';
import { check } from './check.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });
const SEED = 20261122;

interface World {
  readonly vfs: Vfs;
  readonly node: NodeFs;
}

/** An image with a directory `/d`; checked at the end. */
function within(dirIndex: boolean, run: (world: World) => void): void {
  const device = memoryDevice({ sizeBytes: 64 * 2 ** 20 });
  runSync(mkfs(device, { blockSize: 1024, inodeSize: 128, inodes: 2000, features: { dir_index: dirIndex } }, env));
  const fs = runSync(mount(device, { env }));
  const vfs = createVfs(fs, { env });
  const node = nodeFs(vfs);
  node.mkdirSync('/d');
  node.writeFileSync('/file', 'x');
  run({ vfs, node });
  runSync(vfs.unmount());
  expect(runSync(check(device)).findings.filter((one) => one.severity === 'error')).toEqual([]);
}

/** A listing in parts of `some` entries; `between` runs after each. */
function list(vfs: Vfs, some: number, between: () => void): string[] {
  const names: string[] = [];
  const fd = runSync(vfs.open('/d', O_RDONLY));
  for (let cookie = 0; ; ) {
    let left = some;
    const before = cookie;
    runSync(
      vfs.getdents(fd, cookie, (name, _ino, _type, next) => {
        if (left-- === 0) return false;
        expect(next).toBeGreaterThan(cookie);
        names.push(name);
        cookie = next;
        return true;
      }),
    );
    if (cookie === before) break;
    between();
  }
  runSync(vfs.close(fd));
  return names;
}

/** Links to one file: thousands of names, one inode. */
const enter = (node: NodeFs, name: string): void => {
  node.linkSync('/file', `/d/${name}`);
};

describe('listing while names come and go', () => {
  it.each([true, false])('gives what stays exactly once (dir_index %s)', (dirIndex) => {
    within(dirIndex, ({ vfs, node }) => {
      const random = new SeededRandom(SEED);
      const stay = Array.from({ length: 10_000 }, (_, i) => `stay-${i}`);
      const going = Array.from({ length: 10_000 }, (_, i) => `going-${i}`);
      for (let i = 0; i < stay.length; i++) {
        enter(node, stay[i] ?? '');
        enter(node, going[i] ?? '');
      }
      let fresh = 0;
      const seen = list(vfs, 100, () => {
        // Inserts enough to split most leaves within one listing.
        for (let i = 0; i < 30 && fresh < 6000; i++) enter(node, `fresh-${fresh++}-${'x'.repeat(random.below(40))}`);
        for (let i = 0; i < 20 && going.length > 0; i++) {
          const at = random.below(going.length);
          const [name] = going.splice(at, 1);
          if (name !== undefined) node.unlinkSync(`/d/${name}`);
        }
      });
      const stayed = new Set([...stay, ...going, '.', '..']);
      const counted = seen.filter((name) => stayed.has(name));
      expect(counted.length).toBe(stayed.size);
      expect(new Set(seen).size).toBe(seen.length);
      expect(fresh).toBeGreaterThan(3000);
    });
  });

  it('goes on where it was when a directory of one block gets its index', () => {
    within(true, ({ vfs, node }) => {
      for (let i = 0; i < 40; i++) enter(node, `stay-${i}`);
      let fresh = 0;
      const seen = list(vfs, 1, () => {
        if (fresh < 300) for (let i = 0; i < 20; i++) enter(node, `fresh-${fresh++}`);
      });
      expect(new Set(seen).size).toBe(seen.length);
      for (let i = 0; i < 40; i++) expect(seen).toContain(`stay-${i}`);
    });
  });

  it("lists '.' and '..' first, and all in one call as in many", () => {
    within(true, ({ vfs, node }) => {
      for (let i = 0; i < 3000; i++) enter(node, `name-${i}`);
      const whole = list(vfs, Infinity, () => undefined);
      expect(whole.slice(0, 2)).toEqual(['.', '..']);
      expect(whole.length).toBe(3002);
      expect(list(vfs, 7, () => undefined)).toEqual(whole);
    });
  });
});
