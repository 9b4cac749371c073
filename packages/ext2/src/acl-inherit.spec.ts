import { memoryDevice } from '@iomap/block-device';
import { fixedEnv, runSync } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, type Vfs } from '@iomap/vfs';
import { encodeWireAcl, decodeWireAcl } from './acl.js';
import { check } from './check.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 5 }, tickNs: 1000 });
const NO_ID = 0xffff_ffff;
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
const [USER_OBJ, USER, GROUP_OBJ, MASK, OTHER] = [1, 2, 4, 0x10, 0x20];

const acl = (...entries: [tag: number, perm: number, id?: number][]): Uint8Array =>
  encodeWireAcl(entries.map(([tag, perm, id]) => ({ tag, perm, id: id ?? NO_ID })));
const perms = (wire: Uint8Array): string => decodeWireAcl(wire).map(({ tag, perm }) => `${tag}:${perm}`).join(' ');
const EXTENDED = acl([USER_OBJ, 7], [USER, 7, 1000], [GROUP_OBJ, 5], [MASK, 7], [OTHER, 5]);

/** A vfs with umask 077 over a fresh image, whose directory `/d` has this default ACL. */
function within(wire: Uint8Array, run: (vfs: Vfs) => void): void {
  const device = memoryDevice({ sizeBytes: 4 * 2 ** 20 });
  runSync(mkfs(device, {}, env));
  const vfs = createVfs(runSync(mount(device, { env })), { env, umask: 0o077 });
  runSync(vfs.mkdir('/d', 0o777));
  runSync(vfs.setxattr('/d', DEFAULT, wire));
  run(vfs);
  runSync(vfs.unmount());
  expect(runSync(check(device)).findings).toEqual([]);
}

const modeOf = (vfs: Vfs, path: string): number => runSync(vfs.stat(path)).mode & 0o7777;
const make = (vfs: Vfs, path: string, mode: number): void => {
  runSync(vfs.close(runSync(vfs.open(path, O_CREAT | O_RDWR, mode))));
};
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

describe('a default ACL', () => {
  it('takes the place of the umask, and no entry grants more than was asked for', () => {
    within(EXTENDED, (vfs) => {
      make(vfs, '/d/file', 0o640);
      expect(modeOf(vfs, '/d/file')).toBe(0o640);
      expect(perms(runSync(vfs.getxattr('/d/file', ACCESS)))).toBe('1:6 2:7 4:5 16:4 32:0');
      expect(codeOf(() => runSync(vfs.getxattr('/d/file', DEFAULT)))).toBe('ENODATA');
    });
  });

  it('goes on to directories, as their default and as their own', () => {
    within(EXTENDED, (vfs) => {
      runSync(vfs.mkdir('/d/sub', 0o755));
      expect(modeOf(vfs, '/d/sub')).toBe(0o755);
      expect(perms(runSync(vfs.getxattr('/d/sub', ACCESS)))).toBe('1:7 2:7 4:5 16:5 32:5');
      expect(runSync(vfs.getxattr('/d/sub', DEFAULT))).toEqual(EXTENDED);
      make(vfs, '/d/sub/file', 0o666);
      expect(modeOf(vfs, '/d/sub/file')).toBe(0o664);
    });
  });

  it('that says no more than mode bits leaves mode bits alone', () => {
    within(acl([USER_OBJ, 7], [GROUP_OBJ, 5], [OTHER, 0]), (vfs) => {
      make(vfs, '/d/file', 0o666);
      expect(modeOf(vfs, '/d/file')).toBe(0o640);
      expect(codeOf(() => runSync(vfs.getxattr('/d/file', ACCESS)))).toBe('ENODATA');
      runSync(vfs.symlink('file', '/d/link'));
      expect(runSync(vfs.lstat('/d/link')).mode & 0o777).toBe(0o777);
    });
  });

  it('is not there: the umask applies', () => {
    within(EXTENDED, (vfs) => {
      make(vfs, '/file', 0o666);
      expect(modeOf(vfs, '/file')).toBe(0o600);
    });
  });
});
