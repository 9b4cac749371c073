import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scanXattrs } from './host-xattrs.js';

describe('scanXattrs', () => {
  let dir = '';
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'iomap-getfattr-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  /** With a tool that prints an attribute of `x` and then ends in its own way. */
  const scan = async (ending: string) => {
    const tool = join(dir, 'getfattr');
    writeFileSync(tool, ['#!/bin/sh', 'printf "# file: /x\\nuser.a=0x31\\n\\n"', ending, ''].join('\n'));
    chmodSync(tool, 0o755);
    const names: string[] = [];
    const outcome = await scanXattrs([dir], true, tool).finish((path, xattrs) => names.push(path, ...xattrs.keys()));
    return { outcome, names };
  };

  (process.platform === 'linux' ? it : it.skip)('says when the tool is missing, and when it did not end well', async () => {
    expect(await scan('exit 0')).toEqual({ outcome: 'done', names: ['/x', 'user.a'] });
    expect(await scan('exit 1')).toEqual({ outcome: { failed: 'getfattr ended with 1' }, names: ['/x', 'user.a'] });
    expect((await scan('kill -KILL $$')).outcome).toEqual({ failed: 'getfattr was ended by SIGKILL' });
    expect(await scanXattrs([dir], true, join(dir, 'none')).finish(() => undefined)).toBe('missing');
  });
});
