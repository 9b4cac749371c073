import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderSource } from './folder.js';

/** A `getfattr` that prints two attributes of `x` and then ends in its own way. */
const tool = (ending: string): string =>
  ['#!/bin/sh', 'for last; do :; done', 'printf "# file: %s/x\\nuser.a=0x31\\n\\n" "$last"', ending, ''].join('\n');

describe('getfattr', () => {
  const { PATH } = process.env;
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'iomap-getfattr-'));
    writeFileSync(join(dir, 'x'), 'x');
  });
  afterEach(() => {
    process.env['PATH'] = PATH;
    rmSync(dir, { recursive: true });
  });
  const scan = async (ending: string | undefined) => {
    const bin = mkdtempSync(join(tmpdir(), 'iomap-getfattr-bin-'));
    if (ending !== undefined) {
      writeFileSync(join(bin, 'getfattr'), tool(ending));
      chmodSync(join(bin, 'getfattr'), 0o755);
    }
    process.env['PATH'] = ending === undefined ? bin : `${bin}:${PATH ?? ''}`;
    try {
      const source = await folderSource(dir);
      const x = source.root.entries.find(({ name }) => name === 'x');
      return { xattrs: [...(x?.inode.xattrs?.keys() ?? [])], warnings: source.warnings.length, failures: source.failures };
    } finally {
      rmSync(bin, { recursive: true });
    }
  };

  (process.platform === 'linux' ? it : it.skip)('says when it is missing, and when it did not end well', async () => {
    expect(await scan('exit 0')).toEqual({ xattrs: ['user.a'], warnings: 0, failures: [] });
    expect(await scan(undefined)).toEqual({ xattrs: [], warnings: 1, failures: [] });
    expect(await scan('exit 1')).toMatchObject({ xattrs: ['user.a'], failures: [expect.stringContaining('ended with 1')] });
    expect(await scan('kill -KILL $$')).toMatchObject({ failures: [expect.stringContaining('ended by SIGKILL')] });
  });
});
