/** chmod, chown, truncate, utimensat, and the privileges that changes take away. */
import { ALICE, ALICE_IN_2000, BOB, fill, group, NOBODY, ROOT, type Case } from '../case.js';

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

const CHMOD = group('chmod', (add) => {
  add('every bit', (t) => {
    t.do('put', 'f', '');
    t.do('mkdir', 'd');
    for (let bit = 1; bit <= 0o4000; bit *= 2) {
      t.is('ok', 'chmod', 'f', bit);
      t.is({ mode: octal(bit), type: 'file' }, 'stat', 'f');
      t.is('ok', 'chmod', 'd', bit);
      t.is({ mode: octal(bit), type: 'dir' }, 'stat', 'd');
    }
    t.is('ok', 'chmod', 'f', 0o7777);
    t.is({ mode: '7777' }, 'stat', 'f');
    t.do('open', 'f', 'O_RDONLY', 0, 'f');
    t.is('ok', 'fchmod', 'f', 0o123);
    t.is({ mode: '0123' }, 'fstat', 'f');
  });
  add('who may', (t) => {
    t.as(ALICE).do('put', 'f', '', 0o644);
    t.as(ALICE).is('ok', 'chmod', 'f', 0);
    t.as(ALICE).is('ok', 'chmod', 'f', 0o666);
    for (const user of [BOB, NOBODY, '1001:1000']) t.as(user).is('EPERM', 'chmod', 'f', 0o777);
    t.as(BOB).do('open', 'f', 'O_RDWR', 0, 'f');
    t.as(BOB).is('EPERM', 'fchmod', 'f', 0o777);
    t.is('ok', 'chmod', 'f', 0o600);
    t.is({ mode: '0600', uid: 1000 }, 'stat', 'f');
  });
  add('setgid is for members of the group', (t) => {
    const chmod = (user: string, gid: number, given: string, kind: 'put' | 'mkdir'): void => {
      const name = `${kind}-${user}-${gid}`;
      t.do(kind, name);
      t.do('chown', name, Number(user.split(':')[0]), gid);
      t.as(user).is('ok', 'chmod', name, 0o2755);
      t.is({ mode: given }, 'stat', name);
    };
    for (const kind of ['put', 'mkdir'] as const) {
      chmod(ALICE, 1000, '2755', kind);
      chmod(ALICE, 2000, '0755', kind);
      chmod(ALICE_IN_2000, 2000, '2755', kind);
      chmod(ALICE_IN_2000, 3000, '0755', kind);
      chmod(ROOT, 2000, '2755', kind);
    }
  });
  add('the sticky bit of files is anybody\'s', (t) => {
    t.as(ALICE).do('put', 'f', '');
    t.as(ALICE).is('ok', 'chmod', 'f', 0o1644);
    t.is({ mode: '1644' }, 'stat', 'f');
  });
});

const CHOWN = group('chown', (add) => {
  add('by root', (t) => {
    t.do('put', 'f', '');
    for (const [uid, gid] of [[1000, 1001], [0, 0], [65_534, 65_534], [65_536, 65_537], [100_000, 2 ** 31], [2 ** 32 - 2, 1]] as const) {
      t.is('ok', 'chown', 'f', uid, gid);
      t.is({ uid, gid }, 'stat', 'f');
    }
    t.is('ok', 'chown', 'f', -1, 7);
    t.is({ uid: 2 ** 32 - 2, gid: 7 }, 'stat', 'f');
    t.is('ok', 'chown', 'f', 8, -1);
    t.is({ uid: 8, gid: 7 }, 'stat', 'f');
    t.is('ok', 'chown', 'f', -1, -1);
    t.is({ uid: 8, gid: 7 }, 'stat', 'f');
    t.do('open', 'f', 'O_RDONLY', 0, 'f');
    t.is('ok', 'fchown', 'f', 9, 10);
    t.is({ uid: 9, gid: 10 }, 'fstat', 'f');
  });
  add('by others', (t) => {
    t.as(ALICE).do('put', 'f', '');
    t.as(ALICE).is('EPERM', 'chown', 'f', 0, -1);
    t.as(ALICE).is('EPERM', 'chown', 'f', 1001, -1);
    t.as(ALICE).is('EPERM', 'chown', 'f', -1, 0);
    t.as(ALICE).is('EPERM', 'chown', 'f', -1, 2000);
    t.as(ALICE).is('ok', 'chown', 'f', 1000, -1);
    t.as(ALICE).is('ok', 'chown', 'f', -1, 1000);
    t.as(ALICE).is('ok', 'chown', 'f', 1000, 1000);
    t.as(ALICE_IN_2000).is('ok', 'chown', 'f', -1, 2000);
    t.is({ uid: 1000, gid: 2000 }, 'stat', 'f');
    t.as(ALICE).is('ok', 'chown', 'f', -1, 2000);
    t.as(ALICE).is('ok', 'chown', 'f', -1, 1000);
    t.as(BOB).is('EPERM', 'chown', 'f', 1001, 1001);
    t.as(BOB).is('EPERM', 'chown', 'f', -1, 1001);
    t.as(BOB).is('EPERM', 'chown', 'f', 1000, -1);
    t.as('1001:1001,1000').is('EPERM', 'chown', 'f', -1, 1000);
    t.is({ uid: 1000, gid: 1000 }, 'stat', 'f');
  });
  add('to nobody and no group, by a stranger', (t) => {
    t.do('put', 'f', '');
    t.do('chmod', 'f', 0o6755);
    t.as(ALICE).is('EPERM', 'chown', 'f', -1, -1);
    t.is({ mode: '6755' }, 'stat', 'f');
    t.do('chmod', 'f', 0o755);
    t.as(ALICE).is('ok', 'chown', 'f', -1, -1);
  });
  add('of folders and links', (t) => {
    t.do('mkdir', 'd');
    t.do('symlink', 'd', 'l');
    t.is('ok', 'chown', 'l', 5, 6);
    t.is({ uid: 5, gid: 6 }, 'stat', 'd');
    t.is({ uid: 0 }, 'lstat', 'l');
    t.is('ok', 'lchown', 'l', 7, 8);
    t.is({ uid: 7, gid: 8 }, 'lstat', 'l');
    t.is({ uid: 5, gid: 6 }, 'stat', 'd');
  });
});

/** Mode before, mode after the change by somebody who is no member of the file's group, and by a member. */
const PRIVILEGES: readonly (readonly [before: number, stranger: number, member: number])[] = [
  [0o4777, 0o777, 0o777],
  [0o2777, 0o777, 0o777],
  [0o6777, 0o777, 0o777],
  [0o2767, 0o767, 0o2767],
  [0o6767, 0o767, 0o2767],
  [0o1777, 0o1777, 0o1777],
  [0o777, 0o777, 0o777],
];

const KILLPRIV = group('setuid and setgid', (add) => {
  for (const [before, stranger, member] of PRIVILEGES) {
    const ways: readonly (readonly [string, (run: (call: string, ...args: (string | number)[]) => void) => void])[] = [
      ['append', (run) => { run('append', 'f', 'x'); }],
      ['truncate', (run) => { run('truncate', 'f', 1); }],
      ['extend', (run) => { run('truncate', 'f', 100); }],
      ['O_TRUNC', (run) => { run('open', 'f', 'O_WRONLY|O_TRUNC'); }],
      ['pwrite', (run) => { run('open', 'f', 'O_WRONLY', 0, 'w'); run('pwrite', 'w', 'y', 0); }],
      ['ftruncate', (run) => { run('open', 'f', 'O_WRONLY', 0, 't'); run('ftruncate', 't', 2); }],
    ];
    add(`${octal(before)} when written`, (t) => {
      for (const [, act] of ways) {
        for (const [user, after] of [[BOB, stranger], ['1001:2000', member], ['1001:1001,2000', member], [ROOT, before]] as const) {
          t.do('put', 'f', 'content');
          t.do('chown', 'f', 1000, 2000);
          t.do('chmod', 'f', before);
          act(t.as(user).do);
          t.is({ mode: octal(after) }, 'stat', 'f');
        }
      }
    });
  }
  add('when owner or group change', (t) => {
    const chown = (user: string, before: number, after: number, uid: number, gid: number, kind: 'put' | 'mkdir' = 'put'): void => {
      const name = `${kind}${user}${before}${uid}${gid}`;
      t.do(kind, name);
      t.do('chown', name, 1000, 1000);
      t.do('chmod', name, before);
      t.as(user).is('ok', 'chown', name, uid, gid);
      t.is({ mode: octal(after) }, 'stat', name);
    };
    for (const user of [ALICE_IN_2000, ROOT]) {
      chown(user, 0o4755, 0o755, -1, 2000);
      chown(user, 0o2755, 0o755, -1, 2000);
      chown(user, 0o6755, 0o755, -1, 2000);
      chown(user, 0o6755, 0o755, 1000, 1000);
      chown(user, 0o2745, 0o2745, -1, 2000);
      chown(user, 0o6745, 0o2745, 1000, -1);
      chown(user, 0o1755, 0o1755, -1, 2000);
      chown(user, 0o7777, 0o7777, -1, 2000, 'mkdir');
    }
    chown(ROOT, 0o6755, 0o755, 5, 5);
    chown(ROOT, 0o6755, 0o755, -1, -1);
    chown(ALICE, 0o6755, 0o755, -1, -1);
    chown(ROOT, 0o7777, 0o7777, 5, 5, 'mkdir');
  });
  add('nothing written, nothing taken', (t) => {
    t.do('put', 'f', 'content');
    t.do('chown', 'f', 1000, 1000);
    t.do('chmod', 'f', 0o6777);
    t.as(BOB).do('open', 'f', 'O_RDWR', 0, 'f');
    t.is({ mode: '6777' }, 'stat', 'f');
    t.as(BOB).is('data:content', 'read', 'f', 100);
    t.is({ mode: '6777' }, 'stat', 'f');
    t.as(BOB).is(0, 'write', 'f', '');
    t.is({ mode: '6777' }, 'stat', 'f');
    t.as(BOB).is(1, 'write', 'f', 'x');
    t.is({ mode: '0777' }, 'stat', 'f');
  });
  add('capabilities go with a write', (t) => {
    const CAP = '\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';
    t.do('put', 'f', 'x', 0o777);
    t.is('ok', 'setxattr', 'f', 'security.capability', CAP);
    t.is('security.capability', 'listxattr', 'f');
    t.as(ALICE).is(1, 'append', 'f', 'y');
    t.is('ENODATA', 'getxattr', 'f', 'security.capability');
    t.do('setxattr', 'f', 'security.capability', CAP);
    t.is(1, 'append', 'f', 'y');
    t.is('ENODATA', 'getxattr', 'f', 'security.capability');
    t.do('setxattr', 'f', 'security.capability', CAP);
    t.is('ok', 'chown', 'f', 1000, 1000);
    t.is('ENODATA', 'getxattr', 'f', 'security.capability');
    t.as(ALICE).is('EPERM', 'setxattr', 'f', 'security.capability', CAP);
  });
});

const TRUNCATE = group('truncate', (add) => {
  for (const size of [0, 1, 1023, 1024, 4095, 4096, 4097, 12_288, 50_000, 60_000]) {
    add(`to ${size}`, (t) => {
      t.do('put', 'f', fill('x', 50_000));
      t.is('ok', 'truncate', 'f', size);
      t.is({ size, type: 'file', ...(size === 0 ? { blocks: 0 } : {}) }, 'stat', 'f');
      const kept = Math.min(size, 50_000);
      const parts = [...(size > kept ? [`0*${size - kept}`] : []), ...(kept > 0 ? [`x*${kept}`] : [])];
      t.is(`${size}:${parts.join(',')}`, 'sum', 'f');
      // What was cut off does not come back.
      t.is('ok', 'truncate', 'f', 60_000);
      t.is(`60000:${kept < 60_000 ? `0*${60_000 - kept}` : ''}${kept > 0 ? `,x*${kept}` : ''}`, 'sum', 'f');
    });
  }
  add('by kind', (t) => {
    t.do('mkdir', 'd');
    t.do('put', 'f', 'abc');
    t.do('symlink', 'f', 'l');
    t.do('mknod', 'p', 'fifo');
    t.is('EISDIR', 'truncate', 'd', 0);
    t.is('EINVAL', 'truncate', 'p', 0);
    t.is('ok', 'truncate', 'l', 1);
    t.is({ size: 1 }, 'stat', 'f');
    t.is('EINVAL', 'truncate', 'f', -1);
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    t.is('EINVAL', 'ftruncate', 'd', 0);
    t.do('open', 'f', 'O_RDONLY', 0, 'r');
    t.is('EINVAL', 'ftruncate', 'r', 0);
    t.is({ size: 1 }, 'stat', 'f');
  });
  add('rights', (t) => {
    t.do('put', 'f', 'abc', 0o644);
    t.do('put', 'w', 'abc', 0o222);
    t.as(ALICE).is('EACCES', 'truncate', 'f', 0);
    t.as(ALICE).is('ok', 'truncate', 'w', 0);
    t.is({ size: 3 }, 'stat', 'f');
    t.is({ size: 0 }, 'stat', 'w');
    t.do('chmod', 'f', 0);
    t.is('ok', 'truncate', 'f', 0);
  });
  add('too large', (t) => {
    t.do('put', 'f', 'abc');
    t.is('EFBIG', 'truncate', 'f', 2 ** 52);
    t.is('EFBIG', 'limited', 1000, ['truncate', 'f', 1001]);
    t.is('ok', 'limited', 1000, ['truncate', 'f', 1000]);
    t.is({ size: 1000 }, 'stat', 'f');
    t.is('ok', 'truncate', 'f', 2 ** 31 + 5);
    t.is({ size: 2 ** 31 + 5 }, 'stat', 'f');
    t.is('ok', 'truncate', 'f', 2 ** 33);
    t.is({ size: 2 ** 33 }, 'stat', 'f');
    t.is('ok', 'truncate', 'f', 0);
  });
});

const stampText = (value: number | readonly [number, number]): string =>
  typeof value === 'number' ? `${value}.000000000` : `${value[0]}.${String(value[1]).padStart(9, '0')}`;

const UTIMENS = group('utimensat', (add) => {
  add('any time', (t) => {
    t.do('put', 'f', '');
    for (const at of [0, 1, 1_000_000_000, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, [1, 1], [1_234_567_890, 123_456_789], [5, 999_999_999]] as const) {
      t.is('ok', 'utimens', 'f', at, [77, 88]);
      t.is({ atime: stampText(at), mtime: '77.000000088' }, 'stat', 'f');
      t.is('ok', 'utimens', 'f', [77, 88], at);
      t.is({ atime: '77.000000088', mtime: stampText(at) }, 'stat', 'f');
    }
    t.is('ok', 'utimens', 'f', -1, -100);
    t.is({ atime: '-1.000000000', mtime: '-100.000000000' }, 'stat', 'f');
  });
  add('now and omit', (t) => {
    t.do('put', 'f', '');
    t.do('utimens', 'f', 5, 6);
    t.is('ok', 'utimens', 'f', 'omit', 7);
    t.is({ atime: '5.000000000', mtime: '7.000000000' }, 'stat', 'f');
    t.is('ok', 'utimens', 'f', 8, 'omit');
    t.is({ atime: '8.000000000', mtime: '7.000000000' }, 'stat', 'f');
    t.is('ok', 'utimens', 'f', 'omit', 'omit');
    t.is({ atime: '8.000000000', mtime: '7.000000000' }, 'stat', 'f');
    t.is('ok', 'utimens', 'f', 'now', 'omit');
    t.is('ac', 'recent', 'f');
    t.is('ok', 'utimens', 'f', 1, 'now');
    t.is('mc', 'recent', 'f');
    t.is('ok', 'utimens', 'f');
    t.is('amc', 'recent', 'f');
  });
  add('of what was asked badly', (t) => {
    t.do('put', 'f', '');
    t.is('EINVAL', 'utimens', 'f', [1, 1_000_000_000], 1);
    t.is('EINVAL', 'utimens', 'f', 1, [1, -1]);
    t.is('ENOENT', 'utimens', 'missing', 1, 1);
    t.is('ENOENT', 'utimens', 'missing', 'omit', 1);
  });
  add('who may', (t) => {
    t.as(ALICE).do('put', 'f', '', 0o600);
    t.as(ALICE).do('put', 'w', '', 0o666);
    for (const [user, name, explicit, now] of [[ALICE, 'f', 'ok', 'ok'], [ALICE, 'w', 'ok', 'ok'], [BOB, 'f', 'EPERM', 'EACCES'], [BOB, 'w', 'EPERM', 'ok'], [ROOT, 'f', 'ok', 'ok']] as const) {
      t.as(user).is(explicit, 'utimens', name, 1, 1);
      t.as(user).is(explicit, 'utimens', name, 'now', 1);
      t.as(user).is(explicit, 'utimens', name, 'omit', 1);
      t.as(user).is(explicit, 'utimens', name, 'now', 'omit');
      t.as(user).is(explicit, 'utimens', name, 'omit', 'now');
      t.as(user).is(now, 'utimens', name, 'now', 'now');
      t.as(user).is(now, 'utimens', name);
      t.as(user).is('ok', 'utimens', name, 'omit', 'omit');
    }
    t.do('chmod', 'f', 0);
    t.as(ALICE).is('ok', 'utimens', 'f', 9, 9);
    t.as(ALICE).is('ok', 'utimens', 'f');
  });
  add('of every kind', (t) => {
    t.do('mkdir', 'd');
    t.do('mknod', 'p', 'fifo');
    t.do('symlink', 'd', 'l');
    t.is('ok', 'utimens', 'd', 1, 2);
    t.is({ atime: '1.000000000', mtime: '2.000000000' }, 'stat', 'd');
    t.is('ok', 'utimens', 'p', 3, 4);
    t.is({ mtime: '4.000000000' }, 'stat', 'p');
    t.is('ok', 'lutimens', 'l', 5, 6);
    t.is({ mtime: '6.000000000' }, 'lstat', 'l');
    t.is({ mtime: '2.000000000' }, 'stat', 'l');
    t.do('open', 'd', 'O_RDONLY', 0, 'd');
    t.is('ok', 'futimens', 'd', 7, 8);
    t.is({ atime: '7.000000000', mtime: '8.000000000' }, 'stat', 'd');
  });
});

export const ATTR_CASES: readonly Case[] = [...CHMOD, ...CHOWN, ...KILLPRIV, ...TRUNCATE, ...UTIMENS];
