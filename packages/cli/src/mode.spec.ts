import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './errors.js';
import { changedMode, majorOf, makeDev, minorOf, modeString } from './mode.js';

describe('modes', () => {
  it('shows them as ls does', () => {
    expect(modeString(0o100644)).toBe('-rw-r--r--');
    expect(modeString(0o041777)).toBe('drwxrwxrwt');
    expect(modeString(0o104711)).toBe('-rws--x--x');
    expect(modeString(0o106600)).toBe('-rwS--S---');
    expect(modeString(0o120777)).toBe('lrwxrwxrwx');
  });

  it('refuses what is no mode', () => {
    for (const bad of ['', 'u', 'u+q', '888', '+rwx,', 'u~r', '77777']) expect(() => changedMode(bad, 0o100644)).toThrow(UsageError);
  });

  it('changes them as chmod(1) does', () => {
    const folder = mkdtempSync(join(tmpdir(), 'iomap-mode-'));
    try {
      const file = join(folder, 'f');
      const dir = join(folder, 'd');
      writeFileSync(file, '');
      mkdirSync(dir);
      const texts = ['u+x', 'go-w', 'a=r', '+x', '-w', 'u=rwx,g=rx,o=', 'a+X', 'g=u', 'o+t', '+t', 'u+s', 'g+s', 'ug+s', '=', 'u=g', 'o-rwx', '755', '4711', 'a-s', 'u=', 'g-s,o=u', 'u+rw-x'];
      for (const path of [file, dir]) {
        for (const start of [0o644, 0o755, 0o4751, 0o2770, 0o1777, 0]) {
          for (const text of texts) {
            // GNU chmod keeps a directory's set-id bits under octal modes of fewer than five digits; ours does what is said.
            if (path === dir && /^[0-7]/.test(text) && (start & 0o6000) !== 0) continue;
            chmodSync(path, start);
            const before = statSync(path).mode;
            const ran = spawnSync('sh', ['-c', 'umask 022; exec chmod -- "$0" "$1"', text, path]);
            // chmod -w fails when the umask kept a bit that the user named; the mode is changed all the same.
            expect(ran.error).toBeUndefined();
            expect([text, start.toString(8), path === dir, changedMode(text, before, 0o022).toString(8)]).toEqual([text, start.toString(8), path === dir, statSync(path).mode.toString(8)]);
          }
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('packs device numbers as makedev(3)', () => {
    for (const [major, minor] of [[8, 1], [1, 3], [259, 70_000], [4095, 1_048_575]] as const) {
      expect([majorOf(makeDev(major, minor)), minorOf(makeDev(major, minor))]).toEqual([major, minor]);
    }
    expect(makeDev(8, 1)).toBe(0x801);
  });
});
