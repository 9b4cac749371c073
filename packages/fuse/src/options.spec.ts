/** Mount options and mountinfo. */
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
