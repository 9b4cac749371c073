/** Mount options and mountinfo. */
import { parseMountInfo } from './mountpoint.js';
import { kernelOptions, parseMountOptions, permissionsOf } from './options.js';

const ROOT = { uid: 0, gid: 0, isInitial: true };

describe('parseMountOptions', () => {
  it('reads flags, values, and leaves to mount(8) what is its own', () => {
    const options = parseMountOptions('defaults,ro,allow_other,uid=5,gid=6,noatime,nosuid,x-systemd.automount,_netdev');
    expect(options).toMatchObject({ readOnly: true, allowOther: true, uid: 5, gid: 6, atime: 'noatime', mountFlags: ['nosuid'] });
    const given = kernelOptions(options, ROOT);
    expect(given).toEqual(expect.arrayContaining(['ro', 'allow_other', 'noatime', 'nosuid', 'default_permissions']));
    expect(given.join()).not.toContain('uid=5');
  });

  it('the last one counts', () => {
    expect(parseMountOptions('ro,rw').readOnly).toBe(false);
  });

  it('the kernel checks permissions unless told otherwise, or when nobody but root can come by', () => {
    const whoChecks = (text: string, who = ROOT): string => {
      const options = parseMountOptions(text);
      const checks = permissionsOf(options, who);
      expect(kernelOptions(options, who).includes('default_permissions')).toBe(checks === 'kernel');
      return checks;
    };
    expect(whoChecks('')).toBe('root');
    expect(whoChecks('allow_other')).toBe('kernel');
    expect(whoChecks('default_permissions')).toBe('kernel');
    expect(whoChecks('server_permissions')).toBe('server');
    // Root of a user namespace is not above files whose owner the namespace does not have.
    for (const who of [{ ...ROOT, isInitial: false }, { ...ROOT, gid: 5 }, { ...ROOT, uid: 5 }]) {
      expect(whoChecks('', who)).toBe('kernel');
    }
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
