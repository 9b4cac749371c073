/** The check against planted faults, each of which e2fsck must find too, and against images that lie. */
import { memoryDeviceFrom } from '@iomap/block-device';
import { describeWithOracle, oracle, removeScratch, scratchDir } from '@iomap/conformance';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR } from '@iomap/vfs';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { check, type CheckReport } from './check.js';
import { gdtBlock } from './geometry.js';
import { decodeSuper } from './super.js';
import { mkfs } from './mkfs.js';
import { mount } from './mount.js';
import { Ext2DirEntry, Ext2GroupDesc, Ext2Inode, Ext2Super, Ext2XattrHeader } from './ondisk.js';

const KIB = 1024;

/** An image in memory, with views of its structures. */
class Image {
  readonly bytes: Uint8Array;
  readonly blockSize: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.blockSize = decodeSuper(bytes.subarray(1024, 2048)).blockSize;
  }

  get super() {
    return Ext2Super.at(this.bytes, 1024);
  }

  group(group: number) {
    const geometry = decodeSuper(this.bytes.subarray(1024, 2048));
    return Ext2GroupDesc.at(this.bytes, gdtBlock(geometry, 0) * this.blockSize + group * 32);
  }

  inode(ino: number) {
    const { s_inodes_per_group: perGroup, s_inode_size: size } = this.super;
    const group = Math.floor((ino - 1) / perGroup);
    return Ext2Inode.at(this.bytes, this.group(group).bg_inode_table * this.blockSize + ((ino - 1) % perGroup) * size);
  }

  block(block: number): Uint8Array {
    return this.bytes.subarray(block * this.blockSize, (block + 1) * this.blockSize);
  }

  /** The entry of `name` in the first block of directory `ino`. */
  entry(ino: number, name: string) {
    const base = this.inode(ino).i_block.get(0) * this.blockSize;
    for (let at = 0; at < this.blockSize;) {
      const entry = Ext2DirEntry.at(this.bytes, base + at);
      const found = Buffer.from(this.bytes.subarray(base + at + 8, base + at + 8 + entry.name_len)).toString('latin1');
      if (found === name) return entry;
      at += Math.max(12, entry.rec_len);
    }
    throw new Error(`no ${name}`);
  }

  check(): CheckReport {
    return runSync(check(memoryDeviceFrom(this.bytes)));
  }
}

interface Inos {
  readonly file: number;
  readonly big: number;
  readonly dir: number;
  readonly many: number;
  readonly fast: number;
  readonly slow: number;
}

describeWithOracle(['mke2fs', 'e2fsck', 'debugfs'], 'check and e2fsck', () => {
  const dir = scratchDir('ext2-check');
  const path = join(dir, 'image');
  const inos: Record<keyof Inos, number> = { file: 0, big: 0, dir: 0, many: 0, fast: 0, slow: 0 };
  let good = new Uint8Array(0);

  beforeAll(() => {
    const tree = join(dir, 'tree');
    mkdirSync(join(tree, 'dir', 'sub'), { recursive: true });
    mkdirSync(join(tree, 'many'));
    writeFileSync(join(tree, 'file'), 'hello\n');
    writeFileSync(join(tree, 'dir', 'other'), 'x'.repeat(3000));
    writeFileSync(join(tree, 'big'), Buffer.alloc(400 * KIB, 7));
    symlinkSync('t'.repeat(59), join(tree, 'fast'));
    symlinkSync('t'.repeat(60), join(tree, 'slow'));
    for (let i = 0; i < 200; i++) writeFileSync(join(tree, 'many', `a-file-of-a-long-name-${i}`), '');
    writeFileSync(path, new Uint8Array(2 * KIB * KIB));
    oracle('mke2fs').run(
      [
        '-q',
        '-F',
        '-t',
        'ext2',
        '-O',
        'dir_index,filetype,ext_attr,sparse_super',
        '-b',
        '1024',
        '-I',
        '128',
        '-d',
        tree,
        path,
      ],
      { expect: [0] },
    );
    oracle('debugfs').run(['-w', '-R', 'ea_set /file user.key value', path]);
    oracle('e2fsck').run(['-fyD', path]);
    expect(oracle('e2fsck').run(['-fn', path]).status).toBe(0);
    for (const name of Object.keys(inos) as (keyof Inos)[]) {
      const said = oracle('debugfs').run(['-R', `stat /${name}`, path]).stdout;
      inos[name] = Number(/Inode: (\d+)/.exec(said)?.[1]);
    }
    good = new Uint8Array(readFileSync(path));
  });
  afterAll(() => removeScratch(dir));

  it('finds a sound image clean, and counts what is in it', () => {
    const report = new Image(good.slice()).check();
    expect(report.findings).toEqual([]);
    expect(report.stats).toMatchObject({ directories: 5, files: 203, symlinks: 2, xattrBlocks: 1, indirectBlocks: 3 });
  });

  it.each<[string, (image: Image) => void]>([
    ['journal-unexpected', (i) => (i.super.s_journal_inum = 8)],
    ['block-bitmap-place', (i) => (i.group(0).bg_block_bitmap = 5000)],
    ['inode-table-place', (i) => (i.group(0).bg_inode_table = 0)],
    ['group-tables-overlap', (i) => (i.group(0).bg_inode_bitmap = i.group(0).bg_block_bitmap)],
    ['group-free-blocks', (i) => i.group(0).bg_free_blocks_count++],
    ['group-free-inodes', (i) => i.group(0).bg_free_inodes_count--],
    ['group-used-dirs', (i) => i.group(0).bg_used_dirs_count++],
    ['block-bitmap-differs', (i) => (i.block(i.group(0).bg_block_bitmap)[3] = 0)],
    ['inode-bitmap-differs', (i) => (i.block(i.group(0).bg_inode_bitmap)[2] = 0)],
    ['inode-bitmap-padding', (i) => (i.block(i.group(0).bg_inode_bitmap)[1023] = 0)],
    ['root-not-directory', (i) => (i.inode(2).i_mode = 0o100644)],
    ['bad-content', (i) => (i.inode(inos.file).i_mode = 0o644)],
    ['bad-content', (i) => (i.inode(inos.fast).i_size = 58)],
    ['bad-content', (i) => (i.inode(inos.slow).i_size = 61)],
    ['illegal-block', (i) => i.inode(inos.file).i_block.set(0, 1_000_000)],
    ['illegal-indirect', (i) => i.inode(inos.big).i_block.set(13, 0xfffffff0)],
    ['block-claimed-twice', (i) => i.inode(inos.big).i_block.set(1, i.inode(inos.file).i_block.get(0))],
    ['block-claimed-twice', (i) => i.inode(inos.big).i_block.set(1, i.group(0).bg_inode_table)],
    ['indirect-claimed-twice', (i) => i.inode(inos.big).i_block.set(13, i.inode(inos.big).i_block.get(12))],
    ['i-blocks', (i) => (i.inode(inos.big).i_blocks += 2)],
    ['size-too-small', (i) => (i.inode(inos.big).i_size = 1)],
    ['dir-size', (i) => (i.inode(inos.dir).i_size = 2048)],
    ['dir-size', (i) => (i.inode(inos.dir).i_size = 1000)],
    ['dir-empty', (i) => i.inode(inos.dir).i_block.set(0, 0)],
    ['dtime-in-use', (i) => (i.inode(inos.file).i_dtime = 1)],
    ['index-flag', (i) => (i.inode(inos.file).i_flags = 0x1000)],
    ['foreign-flag', (i) => (i.inode(inos.file).i_flags = 0x80000)],
    ['link-count', (i) => i.inode(inos.file).i_links_count++],
    ['unattached', (i) => (i.entry(2, 'file').inode = 0)],
    ['entry-unused', (i) => (i.inode(inos.file).i_links_count = 0)],
    ['zero-dtime', (i) => (i.inode(inos.file).i_links_count = 0)],
    ['entry-inode', (i) => (i.entry(2, 'file').inode = 99_999)],
    ['entry-inode', (i) => (i.entry(2, 'file').inode = 5)],
    ['entry-root', (i) => (i.entry(2, 'file').inode = 2)],
    ['entry-type', (i) => (i.entry(2, 'file').file_type = 2)],
    ['dir-corrupt', (i) => (i.entry(2, 'file').rec_len = 6)],
    ['dir-corrupt', (i) => (i.entry(2, 'file').name_len = 200)],
    ['name-character', (i) => (i.bytes[i.entry(2, 'file').$offset + 9] = 0x2f)],
    ['name-twice', (i) => i.bytes.set(Buffer.from('slow'), i.entry(2, 'fast').$offset + 8)],
    ['no-dots', (i) => (i.entry(inos.dir, '.').name_len = 2)],
    ['dot-inode', (i) => (i.entry(inos.dir, '.').inode = inos.many)],
    ['dotdot', (i) => (i.entry(inos.dir, '..').inode = inos.many)],
    ['dir-linked-twice', (i) => (i.entry(2, 'many').inode = inos.dir)],
    ['unconnected-directory', (i) => (i.entry(2, 'dir').inode = 0)],
    ['xattr-place', (i) => (i.inode(inos.file).i_file_acl = 99_999)],
    ['xattr-block', (i) => (Ext2XattrHeader.at(i.block(i.inode(inos.file).i_file_acl)).h_magic = 1)],
    ['xattr-refcount', (i) => (Ext2XattrHeader.at(i.block(i.inode(inos.file).i_file_acl)).h_refcount = 2)],
    ['xattr-block', (i) => (i.block(i.inode(inos.file).i_file_acl)[40] = 0xff)],
    // The kind of the first name, which its hash does not cover.
    ['xattr-block', (i) => (i.block(i.inode(inos.file).i_file_acl)[33] = 0)],
    ['group-flags', (i) => (i.group(0).bg_itable_unused = i.super.s_inodes_per_group)],
    ['index', (i) => (i.block(i.inode(inos.many).i_block.get(0))[0x1c] = 9)],
    ['index', (i) => (i.block(i.inode(inos.many).i_block.get(0))[0x1e] = 3)],
    ['index', (i) => (i.block(i.inode(inos.many).i_block.get(0))[0x22] = 1)],
    ['feature-unknown', (i) => (i.super.s_feature_compat += 0x400_0000)],
    ['feature-unknown', (i) => (i.super.s_feature_ro_compat += 0x2_0000)],
    ['orphan-dtime', (i) => (i.inode(7).i_dtime = 5)],
    ['size-too-large', (i) => (i.inode(10).i_size_high = 16)],
    [
      'special-size',
      (i) => {
        const inode = i.inode(inos.fast);
        inode.i_mode = 0o010644;
        inode.i_size = 0;
        inode.i_size_high = 16;
      },
    ],
    ['superblock-invalid', (i) => (i.super.s_log_block_size = 9)],
    ['superblock-invalid', (i) => (i.super.s_blocks_count = 2 ** 31)],
  ])('%s', (code, plant) => {
    const image = new Image(good.slice());
    plant(image);
    const report = image.check();
    expect(report.findings.filter((finding) => finding.severity === 'error').map((finding) => finding.code)).toContain(
      code,
    );
    expect(report.clean).toBe(false);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    writeFileSync(path, image.bytes);
    expect(oracle('e2fsck').run(['-fn', path]).status).not.toBe(0);
  });
});

describe('check', () => {
  it('says where a damaged inode is', () => {
    const bytes = new Uint8Array(2 * KIB * KIB);
    const device = memoryDeviceFrom(bytes);
    runSync(mkfs(device, { blockSize: 1024 }, fixedEnv()));
    const vfs = createVfs(runSync(mount(device, { env: fixedEnv() })));
    runSync(vfs.mkdir('/dir', 0o755));
    runSync(vfs.mkdir('/dir/s\u00c3\u00bcb', 0o755));
    runSync(vfs.close(runSync(vfs.open('/dir/s\u00c3\u00bcb/file', O_CREAT | O_RDWR, 0o644))));
    const { ino } = runSync(vfs.stat('/dir/s\u00c3\u00bcb/file'));
    const sub = runSync(vfs.stat('/dir/s\u00c3\u00bcb')).ino;
    runSync(vfs.unmount());
    const image = new Image(bytes);
    image.inode(ino).i_blocks = 6;
    image.inode(sub).i_links_count++;
    const found = image.check().findings.map(({ code, path }) => `${code} ${path ?? ''}`);
    expect(found).toEqual(['i-blocks /dir/s\u00fcb/file', 'link-count /dir/s\u00fcb']);
  });

  const made = (): Image => {
    const bytes = new Uint8Array(2 * KIB * KIB);
    runSync(mkfs(memoryDeviceFrom(bytes), { blockSize: 1024 }, fixedEnv()));
    return new Image(bytes);
  };

  it('caps its findings and counts the rest', () => {
    const image = made();
    const root = image.inode(2).i_block.get(0);
    for (let ino = 20; ino < 60; ino++) {
      image.inode(ino).i_mode = 0o100644;
      image.inode(ino).i_links_count = 1;
      image.inode(ino).i_block.set(0, root);
    }
    const report = runSync(check(memoryDeviceFrom(image.bytes), { maxFindings: 10 }));
    expect([report.findings.length, report.omitted > 100, report.errors + report.warnings]).toEqual([
      10,
      true,
      10 + report.omitted,
    ]);
  });

  it('ends on trees that point at themselves from every inode', () => {
    const image = made();
    const loop = 1500;
    new Uint32Array(image.bytes.buffer, image.bytes.byteOffset + loop * 1024, 256).fill(loop);
    for (let ino = 12; ino <= image.super.s_inodes_count; ino++) {
      const inode = image.inode(ino);
      inode.i_mode = 0o100644;
      inode.i_links_count = 1;
      for (let slot = 0; slot < 15; slot++) inode.i_block.set(slot, loop);
    }
    const began = performance.now();
    expect(image.check().clean).toBe(false);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it("ends on directories that are each other's parents", () => {
    const image = made();
    for (const [ino, other] of [
      [12, 13],
      [13, 12],
    ] as const) {
      const inode = image.inode(ino);
      inode.i_mode = 0o40755;
      inode.i_links_count = 2;
      inode.i_size = 1024;
      inode.i_block.set(0, 1500 + ino);
      const block = image.block(1500 + ino);
      const put = (at: number, child: number, recLen: number, name: string): void => {
        const entry = Ext2DirEntry.at(block, at);
        entry.inode = child;
        entry.rec_len = recLen;
        entry.name_len = name.length;
        entry.file_type = 2;
        block.set(Buffer.from(name), at + 8);
      };
      put(0, ino, 12, '.');
      put(12, other, 12, '..');
      put(24, other, 1000, 'x');
    }
    expect(image.check().findings.map((finding) => finding.code)).toContain('unconnected-directory');
  });

  it('throws what it cannot check, by name, and reports what is no filesystem', () => {
    const image = made();
    image.super.s_feature_incompat += 0x40 + 0x80;
    expect(() => image.check()).toThrow(/extent, 64bit/);
    expect(() => image.check()).toThrow(FsError);
    for (const size of [0, 512, 2048, 65536]) {
      expect(runSync(check(memoryDeviceFrom(new Uint8Array(size)))).fatal).toBe(true);
    }
  });
});
