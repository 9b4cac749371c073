/** Mount options, mountinfo, and what a new file inherits of an ACL. */
import { createAcl } from './acl.js';
import { parseMountInfo } from './mountpoint.js';
import { kernelOptions, parseMountOptions } from './options.js';

const ROOT = { uid: 0, gid: 0 };

describe('parseMountOptions', () => {
  it('reads flags, values, and leaves to mount(8) what is its own', () => {
    const options = parseMountOptions('defaults,ro,allow_other,uid=5,gid=6,noatime,nosuid,x-systemd.automount,_netdev');
    expect(options).toMatchObject({ readOnly: true, allowOther: true, uid: 5, gid: 6, atime: 'noatime', mountFlags: ['nosuid'] });
    const given = kernelOptions(options, ROOT);
    expect(given).toEqual(expect.arrayContaining(['ro', 'allow_other', 'noatime', 'nosuid', 'default_permissions']));
    expect(given.join()).not.toContain('uid=5');
  });

  it('the last one counts, and the kernel checks permissions unless told otherwise', () => {
    expect(parseMountOptions('ro,rw').readOnly).toBe(false);
    expect(parseMountOptions('').permissions).toBe('kernel');
    expect(kernelOptions(parseMountOptions('server_permissions'), ROOT)).not.toContain('default_permissions');
  });

  it.each(['nonsense', 'uid=x', 'uid', 'ro=1', 'uid=99999999999', 'cache_mib=0'])('refuses %s', (text) => {
    expect(() => parseMountOptions(text)).toThrow(expect.objectContaining({ code: 'EINVAL' }) as Error);
  });
});

describe('parseMountInfo', () => {
  it('reads devices, types and escaped paths', () => {
    const text =
      '25 1 0:39 / /mnt/a\\040b rw,relatime shared:1 - fuse.iomap /images/d\\134e.img rw,user_id=0\n' +
      '26 1 8:1 / / rw - ext4 /dev/sda1 rw\n';
    expect(parseMountInfo(text)).toEqual([
      { device: '0:39', point: '/mnt/a b', type: 'fuse.iomap', source: '/images/d\\e.img' },
      { device: '8:1', point: '/', type: 'ext4', source: '/dev/sda1' },
    ]);
  });
});

describe('createAcl', () => {
  /** Version 2, then (tag, permissions, id) of each entry. */
  const acl = (...entries: (readonly [tag: number, perm: number, id?: number])[]): Uint8Array => {
    const bytes = new Uint8Array(4 + entries.length * 8);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(0, 2, true);
    entries.forEach(([tag, perm, id = 0xffff_ffff], i) => {
      view.setUint16(4 + i * 8, tag, true);
      view.setUint16(6 + i * 8, perm, true);
      view.setUint32(8 + i * 8, id, true);
    });
    return bytes;
  };

  it('cuts mode and entries by each other; the mask stands for the group', () => {
    const defaults = acl([1, 7], [2, 6, 1000], [4, 5], [0x10, 7], [0x20, 5]);
    const made = createAcl(defaults, 0o100666);
    expect(made.bits).toBe(0o664);
    expect(made.access).toEqual(acl([1, 6], [2, 6, 1000], [4, 5], [0x10, 6], [0x20, 4]));
    expect(made.defaults).toBeUndefined();
    expect(createAcl(defaults, 0o040755).defaults).toEqual(defaults);
  });

  it('stores nothing that the mode bits say', () => {
    expect(createAcl(acl([1, 6], [4, 4], [0x20, 0]), 0o100777)).toEqual({ bits: 0o640, access: undefined, defaults: undefined });
  });
});
