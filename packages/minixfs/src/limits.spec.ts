import { findOracle, imageDevice, oracle, withImageFile } from '@iomap/conformance';
import { fixedEnv, FsError, runSync } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR, type Vfs } from '@iomap/vfs';
import { check, mkfs, mount, type MkfsOptions } from './index.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });

function make(kib: number, options: MkfsOptions): { readonly bytes: Uint8Array; readonly vfs: Vfs } {
  const bytes = new Uint8Array(kib * 1024);
  runSync(mkfs(imageDevice(bytes), options, env));
  return { bytes, vfs: createVfs(runSync(mount(imageDevice(bytes), { env })), { env }) };
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'ok';
  } catch (error) {
    return error instanceof FsError ? error.code : String(error);
  }
};

/** Unmounts and has the image judged. */
function settle({ bytes, vfs }: { readonly bytes: Uint8Array; readonly vfs: Vfs }, isPlain: boolean): void {
  runSync(vfs.unmount());
  expect(runSync(check(imageDevice(bytes, { readOnly: true }))).findings).toEqual([]);
  if (!isPlain || findOracle('fsck-minix') === undefined) return;
  const { status, stdout } = withImageFile(bytes, (path) => oracle('fsck-minix').run(['-f', path]));
  expect([status, stdout]).toEqual([0, expect.any(String)]);
}

describe('the limits of the versions', () => {
  it.each<[string, MkfsOptions, number]>([
    ['v1', { version: 1 }, (7 + 512 + 512 * 512) * 1024],
    ['v2', { version: 2 }, 2 ** 31 - 1],
    ['v3', { version: 3 }, 2 ** 31 - 1],
    ['v3 with blocks of 4 KiB', { blockSize: 4096 }, 2 ** 31 - 1],
    ['v1 with zones of 2 KiB', { version: 1, zoneSize: 2048 }, (7 + 512 + 512 * 512) * 2048],
  ])('%s: files to the last byte, and none beyond', (_name, options, max) => {
    const made = make(4000, options);
    const { vfs } = made;
    expect(vfs.fs.traits.fileSizeMax).toBe(max);
    const fd = runSync(vfs.open('/f', O_RDWR | O_CREAT, 0o644));
    const bytes = Uint8Array.of(1, 2, 3, 4);
    expect(runSync(vfs.write(fd, bytes, max - 4))).toBe(4);
    expect(runSync(vfs.write(fd, bytes, max - 2 ** 20))).toBe(4);
    expect(runSync(vfs.write(fd, bytes, 70_000_000))).toBe(4);
    // What still fits is written, as Linux does.
    expect(runSync(vfs.write(fd, bytes, max - 1))).toBe(1);
    expect(codeOf(() => runSync(vfs.write(fd, bytes, max)))).toBe('EFBIG');
    expect(codeOf(() => runSync(vfs.ftruncate(fd, max + 1)))).toBe('EFBIG');
    const back = new Uint8Array(8);
    expect(runSync(vfs.read(fd, back, max - 4))).toBe(4);
    expect([...back.subarray(0, 4)]).toEqual([1, 2, 3, 1]);
    runSync(vfs.ftruncate(fd, 71_000_000));
    runSync(vfs.close(fd));
    settle(made, options.blockSize === undefined && options.zoneSize === undefined);
  });

  it('version 1 counts 250 links and no more', () => {
    const { vfs } = make(1000, { version: 1 });
    runSync(vfs.close(runSync(vfs.open('/f', O_RDWR | O_CREAT, 0o644))));
    for (let n = 1; n < 250; n++) runSync(vfs.link('/f', `/l${n}`));
    expect(runSync(vfs.stat('/f')).nlink).toBe(250);
    expect(codeOf(() => runSync(vfs.link('/f', '/one-more')))).toBe('EMLINK');
    runSync(vfs.unlink('/l1'));
    runSync(vfs.link('/f', '/one-more'));
    runSync(vfs.unmount());
  });

  it('version 2 counts 65,530', () => {
    const bytes = new Uint8Array(1000 * 1024);
    runSync(mkfs(imageDevice(bytes), { version: 2 }, env));
    const fs = runSync(mount(imageDevice(bytes), { env }));
    const root = runSync(fs.readInode(fs.rootIno));
    const now = env.now();
    const file = runSync(fs.create(root, 'f', { mode: 0o100644, uid: 0, gid: 0, rdev: 0, now }));
    // As if so many names had been given.
    file.nlink = 65_529;
    runSync(fs.link(root, 'l', file, now));
    expect(file.nlink).toBe(65_530);
    expect(codeOf(() => runSync(fs.link(root, 'm', file, now)))).toBe('EMLINK');
  });

  it('version 1 refuses a directory more than its parent can count', () => {
    const made = make(2000, { version: 1 });
    const { vfs } = made;
    for (let n = 0; n < 248; n++) runSync(vfs.mkdir(`/d${n}`));
    expect(codeOf(() => runSync(vfs.mkdir('/more')))).toBe('EMLINK');
    runSync(vfs.mkdir('/d0/e'));
    expect(codeOf(() => runSync(vfs.rename('/d0/e', '/e')))).toBe('EMLINK');
    runSync(vfs.rmdir('/d1'));
    runSync(vfs.rename('/d0/e', '/e'));
    settle(made, true);
  });

  it('answers ENOSPC when the inodes are all in use, and takes them back', () => {
    const made = make(1000, { version: 2, inodes: 32 });
    const { vfs } = made;
    for (let n = 0; n < 31; n++) runSync(vfs.mknod(`/n${n}`, 0o010644));
    expect(codeOf(() => runSync(vfs.mknod('/more', 0o010644)))).toBe('ENOSPC');
    expect(runSync(vfs.statfs()).filesFree).toBe(0);
    runSync(vfs.unlink('/n7'));
    runSync(vfs.mknod('/more', 0o010644));
    settle(made, true);
  });

  it('keeps times within what the fields hold', () => {
    const made = make(1000, { version: 3 });
    const { vfs } = made;
    runSync(vfs.mknod('/n', 0o010644));
    runSync(vfs.setattr('/n', { atime: { sec: -5, nsec: 7 }, mtime: { sec: 2 ** 33, nsec: 9 } }));
    const { atime, mtime } = runSync(vfs.stat('/n'));
    expect([{ ...atime }, { ...mtime }]).toEqual([{ sec: 0, nsec: 0 }, { sec: 2 ** 32 - 1, nsec: 0 }]);
    settle(made, true);
  });
});
