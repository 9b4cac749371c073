import { fixedEnv } from '@iomap/io';
import { createVfs } from '../index.js';
import { memoryFs } from '../testing/index.js';
import { nodeFs, type NodeFs } from './index.js';

const make = (): NodeFs => nodeFs(createVfs(memoryFs(), { env: fixedEnv({ start: { sec: 1000, nsec: 5 }, tickNs: 1000 }) }));
const codeOf = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
};

describe('nodeFs', () => {
  it('writes, reads and appends whole files', () => {
    const fs = make();
    fs.writeFileSync('/a', 'hällo');
    fs.appendFileSync('/a', Buffer.from(' x'));
    expect(fs.readFileSync('/a', 'utf8')).toBe('hällo x');
    expect(fs.readFileSync('/a')).toEqual(Buffer.from('hällo x'));
    const fd = fs.openSync('/a', 'r+');
    fs.writeSync(fd, 'H', 0);
    expect(fs.readFileSync(fd, { encoding: 'latin1' })).toBe(Buffer.from('Hällo x').toString('latin1'));
    fs.closeSync(fd);
    expect(fs.statSync('/a').size).toBe(8);
    expect(codeOf(() => fs.closeSync(fd))).toBe('EBADF');
  });

  it("has Node's errors", () => {
    const fs = make();
    expect(() => fs.readFileSync('/x')).toThrow("ENOENT: no such file or directory, open '/x'");
    expect(() => fs.statSync('/x')).toThrow("ENOENT: no such file or directory, stat '/x'");
    expect(() => fs.readdirSync('/x')).toThrow("ENOENT: no such file or directory, scandir '/x'");
    expect(() => fs.renameSync('/x', '/y')).toThrow("ENOENT: no such file or directory, rename '/x' -> '/y'");
    expect(fs.statSync('/x', { throwIfNoEntry: false })).toBeUndefined();
    expect(codeOf(() => fs.statSync(5 as unknown as string))).toBe('ERR_INVALID_ARG_TYPE');
    expect(codeOf(() => fs.openSync('/x', 'zz'))).toBe('ERR_INVALID_ARG_VALUE');
    expect(codeOf(() => fs.statSync('/x\0y'))).toBe('ERR_INVALID_ARG_VALUE');
    expect(codeOf(() => fs.watch('/'))).toBe('ENOSYS');
  });

  it('handles trees', () => {
    const fs = make();
    expect(fs.mkdirSync('/a/b/c', { recursive: true })).toBe('/a');
    expect(fs.mkdirSync('/a/b/c', { recursive: true })).toBeUndefined();
    fs.writeFileSync('/a/f', 'f');
    expect(codeOf(() => fs.mkdirSync('/a/f/x', { recursive: true }))).toBe('ENOTDIR');
    expect(codeOf(() => fs.mkdirSync('/a/f', { recursive: true }))).toBe('EEXIST');
    fs.symlinkSync('f', '/a/l');
    expect(fs.readdirSync('/a').sort()).toEqual(['b', 'f', 'l']);
    expect((fs.readdirSync('/', { recursive: true }) as string[]).sort()).toEqual(['a', 'a/b', 'a/b/c', 'a/f', 'a/l']);
    const types = fs.readdirSync('/a', { withFileTypes: true }).map((e) => [e.name, e.isDirectory(), e.isSymbolicLink()]);
    expect(types).toEqual([
      ['b', true, false],
      ['f', false, false],
      ['l', false, true],
    ]);
    fs.cpSync('/a', '/z', { recursive: true, verbatimSymlinks: true });
    expect(fs.readlinkSync('/z/l')).toBe('f');
    expect(fs.realpathSync('/z/l')).toBe('/z/f');
    expect(codeOf(() => fs.cpSync('/a', '/a/b/q', { recursive: true }))).toBe('ERR_FS_CP_EINVAL');
    expect(codeOf(() => fs.rmSync('/z'))).toBe('ERR_FS_EISDIR');
    fs.rmSync('/z', { recursive: true });
    fs.rmSync('/z', { force: true });
    expect(fs.existsSync('/z')).toBe(false);
    expect(fs.mkdtempSync('/tmp-')).toMatch(/^\/tmp-.{6}$/);
  });

  it('has promises, handles, callbacks, directories and streams', async () => {
    const fs = make();
    await fs.promises.writeFile('/f', 'abcdef');
    const handle = await fs.promises.open('/f', 'r+');
    expect(await handle.read(Buffer.alloc(3), 0, 3, 2)).toEqual({ bytesRead: 3, buffer: Buffer.from('cde') });
    expect((await handle.stat()).size).toBe(6);
    await handle.close();
    await expect(handle.read(Buffer.alloc(1))).rejects.toMatchObject({ code: 'EBADF' });
    expect(await new Promise((done) => fs.readFile('/f', 'utf8', (error, data) => done([error, data])))).toEqual([null, 'abcdef']);
    expect(await new Promise((done) => fs.stat('/none', (error) => done(error?.code)))).toBe('ENOENT');
    expect(await new Promise((done) => fs.exists('/f', (is) => done(is)))).toBe(true);
    const names: unknown[] = [];
    for (let i = 0; i < 70; i++) fs.writeFileSync(`/n${i}`, '');
    for await (const entry of await fs.promises.opendir('/')) names.push(entry.name);
    expect(names).toHaveLength(71);
    const chunks: Buffer[] = [];
    for await (const chunk of fs.createReadStream('/f', { start: 1, end: 4, highWaterMark: 2 })) chunks.push(chunk as Buffer);
    expect(chunks.map(String)).toEqual(['bc', 'de']);
    const out = fs.createWriteStream('/s');
    await new Promise((done) => out.end('streamed', () => done(0)));
    await new Promise((done) => (out.closed ? done(undefined) : out.once('close', () => done(undefined))));
    expect(fs.readFileSync('/s', 'latin1')).toBe('streamed');
    expect(() => fs.stat('/f', undefined as never)).toThrow(TypeError);
    expect(ctxFiles(fs)).toBe(3);
  });

  it("gives the filesystem's block size", () => {
    const fs = nodeFs(createVfs(memoryFs({ traits: { blockSize: 1024 } })));
    expect([fs.statSync('/').blksize, fs.statSync('/', { bigint: true }).blksize]).toEqual([1024, 1024n]);
  });

  it('gives stats with nanoseconds and lazy dates', () => {
    const fs = make();
    fs.writeFileSync('/f', 'x');
    fs.utimesSync('/f', 5.5, new Date(7250));
    const stat = fs.statSync('/f', { bigint: true });
    expect(stat.atimeNs).toBe(5_500_000_000n);
    expect(fs.statSync('/f').mtime.getTime()).toBe(7250);
    expect(fs.lstatSync('/f').isFile()).toBe(true);
    fs.utimesSync('/f', { sec: 1, nsec: 3 } as unknown as number, { sec: 2, nsec: 1 } as unknown as number);
    expect(fs.statSync('/f', { bigint: true }).mtimeNs).toBe(2_000_000_001n);
  });
});

/** A descriptor opened now shows that none leaked: the lowest free one is the first. */
function ctxFiles(fs: NodeFs): number {
  const fd = fs.openSync('/f', 'r');
  fs.closeSync(fd);
  return fd;
}
