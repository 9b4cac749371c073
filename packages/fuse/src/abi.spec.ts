/** The struct tables against the ABI: sizes and offsets from the kernel's header, as literals and, where a compiler is, from it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FieldTable, Layout } from '@iomap/buffer-cache';
import * as abi from './abi.js';

const tables = Object.values(abi) as unknown as readonly Layout<FieldTable>[];
const table = (name: string): Layout<FieldTable> | undefined => tables.find((one) => one.name === name);

/** From include/uapi/linux/fuse.h, 7.45: counted by hand, 64-bit fields aligned to eight bytes. */
const SIZES: Readonly<Record<string, number>> = {
  fuse_in_header: 40,
  fuse_out_header: 16,
  fuse_init_in: 64,
  fuse_init_out: 64,
  fuse_attr: 88,
  fuse_entry_out: 128,
  fuse_attr_out: 104,
  fuse_statx_in: 24,
  fuse_sx_time: 16,
  fuse_statx: 256,
  fuse_statx_out: 288,
  fuse_forget_in: 8,
  fuse_forget_one: 16,
  fuse_batch_forget_in: 8,
  fuse_getattr_in: 16,
  fuse_setattr_in: 88,
  fuse_mknod_in: 16,
  fuse_mkdir_in: 8,
  fuse_rename_in: 8,
  fuse_rename2_in: 16,
  fuse_link_in: 8,
  fuse_open_in: 8,
  fuse_create_in: 16,
  fuse_open_out: 16,
  fuse_release_in: 24,
  fuse_flush_in: 24,
  fuse_read_in: 40,
  fuse_write_in: 40,
  fuse_write_out: 8,
  fuse_statfs_out: 80,
  fuse_fsync_in: 16,
  fuse_setxattr_in: 16,
  fuse_getxattr_in: 8,
  fuse_getxattr_out: 8,
  fuse_lk_in: 48,
  fuse_access_in: 8,
  fuse_interrupt_in: 8,
  fuse_bmap_in: 16,
  fuse_bmap_out: 8,
  fuse_ioctl_in: 32,
  fuse_ioctl_out: 16,
  fuse_fallocate_in: 32,
  fuse_lseek_in: 24,
  fuse_lseek_out: 8,
  fuse_copy_file_range_in: 56,
  fuse_copy_file_range_out: 8,
  fuse_dirent: 24,
  fuse_direntplus: 152,
};

const OFFSETS: readonly (readonly [struct: string, field: string, offset: number])[] = [
  ['fuse_in_header', 'nodeid', 16],
  ['fuse_in_header', 'pid', 32],
  ['fuse_out_header', 'unique', 8],
  ['fuse_init_out', 'max_write', 20],
  ['fuse_init_out', 'max_pages', 28],
  ['fuse_init_out', 'flags2', 32],
  ['fuse_attr', 'atimensec', 48],
  ['fuse_attr', 'blksize', 80],
  ['fuse_entry_out', 'attr', 40],
  ['fuse_attr_out', 'attr', 16],
  ['fuse_setattr_in', 'atime', 32],
  ['fuse_setattr_in', 'mode', 68],
  ['fuse_setattr_in', 'uid', 76],
  ['fuse_write_in', 'write_flags', 20],
  ['fuse_write_in', 'flags', 32],
  ['fuse_statx', 'mtime', 112],
  ['fuse_statx', 'rdev_major', 128],
  ['fuse_statx_out', 'stat', 32],
  ['fuse_lk_in', 'lk_type', 32],
  ['fuse_ioctl_in', 'out_size', 28],
  ['fuse_copy_file_range_in', 'nodeid_out', 16],
  ['fuse_direntplus', 'dirent', 128],
];

/** Newer than the headers that distributions have, or named otherwise there. */
const NOT_IN_HEADER = new Set(['fuse_statx_in', 'fuse_sx_time', 'fuse_statx', 'fuse_statx_out', 'fuse_copy_file_range_out']);
const RENAMED = new Set(['fuse_open_out.backing_id']);

describe('the ABI', () => {
  it.each(Object.entries(SIZES))('%s has %i bytes', (name, size) => {
    expect(table(name)?.size).toBe(size);
  });

  it('lists every table', () => {
    expect(tables.map(({ name }) => name).sort()).toEqual(Object.keys(SIZES).sort());
  });

  it.each(OFFSETS)('%s.%s is at %i', (name, field, offset) => {
    expect(table(name)?.offsets[field]).toBe(offset);
  });

  const header = '/usr/include/linux/fuse.h';
  const hasCompiler = existsSync(header) && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;
  (hasCompiler ? it : it.skip)('is what the compiler makes of linux/fuse.h', () => {
    const dir = mkdtempSync(join(tmpdir(), 'iomap-abi-'));
    try {
      const lines: string[] = [];
      const expected: string[] = [];
      for (const one of tables) {
        if (NOT_IN_HEADER.has(one.name)) continue;
        lines.push(`printf("${one.name} %zu\\n", sizeof(struct ${one.name}));`);
        expected.push(`${one.name} ${one.size}`);
        for (const { name: field, offset } of one.fields) {
          const member = one.name === 'fuse_statfs_out' ? `st.${field}` : field.replace(/^lk_(start|end|type|pid)$/, 'lk.$1');
          if (RENAMED.has(`${one.name}.${field}`)) continue;
          lines.push(`printf("${one.name}.${field} %zu\\n", offsetof(struct ${one.name}, ${member}));`);
          expected.push(`${one.name}.${field} ${offset}`);
        }
      }
      const program = `#include <stddef.h>\n#include <stdio.h>\n#include <linux/fuse.h>\nint main(void) {\n${lines.join('\n')}\nreturn 0; }\n`;
      writeFileSync(join(dir, 'abi.c'), program);
      const built = spawnSync('cc', ['-o', join(dir, 'abi'), join(dir, 'abi.c')], { encoding: 'utf8' });
      expect(built.stderr).toBe('');
      const said = spawnSync(join(dir, 'abi'), { encoding: 'utf8' }).stdout.trim().split('\n');
      expect(said).toEqual(expected);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
