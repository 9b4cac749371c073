import { fixedEnv, runSync } from '@iomap/io';
import { createVfs, O_CREAT, O_RDWR } from './index.js';
import { memoryFs } from './testing/index.js';

describe('vfs', () => {
  it('makes, reads and removes', () => {
    const fs = memoryFs();
    const vfs = createVfs(fs, { env: fixedEnv() });
    runSync(vfs.mkdir('/a'));
    const fd = runSync(vfs.open('/a/f', O_CREAT | O_RDWR, 0o644));
    expect(runSync(vfs.write(fd, new Uint8Array([1, 2, 3])))).toBe(3);
    const bytes = new Uint8Array(4);
    expect(runSync(vfs.read(fd, bytes, 1))).toBe(2);
    runSync(vfs.unlink('/a/f'));
    expect(fs.inodeCount).toBe(3);
    runSync(vfs.close(fd));
    expect(fs.inodeCount).toBe(2);
    expect(() => runSync(vfs.stat('/a/f'))).toThrow("ENOENT: no such file or directory, stat '/a/f'");
    runSync(vfs.rmdir('/a'));
    expect(() => runSync(vfs.rmdir('/'))).toThrow('EBUSY');
    runSync(vfs.unmount());
  });
});
