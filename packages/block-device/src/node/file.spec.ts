/** The file devices on real files: sizes, holes, options, host errors. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runAsync, runSync, submitBio, type Bio } from '@iomap/io';
import { openAsyncFileDevice, openFileDevice } from './index.js';

/** Matches an error by its code. */
const withCode = (code: string): Error => expect.objectContaining({ code }) as Error;

const MIB = 2 ** 20;
let dir = '';
beforeEach(() => (dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iomap-file-'))));
afterEach(() => fs.rmSync(dir, { recursive: true }));

const file = (name = 'image'): string => path.join(dir, name);
const write = (pos: number, bytes: Uint8Array, more: Partial<Bio> = {}): Bio => ({
  op: 'write',
  pos,
  segments: [bytes],
  lengthBytes: bytes.length,
  ...more,
});
const zero = (pos: number, lengthBytes: number): Bio => ({ op: 'writeZeroes', pos, segments: [], lengthBytes });
const blocksOf = (name?: string): number => fs.statSync(file(name)).blocks;

describe.each([
  ['openFileDevice', openFileDevice],
  ['openAsyncFileDevice', openAsyncFileDevice],
])('%s', (_name, open) => {
  it('makes a sparse file, and zeroes without making it less sparse', async () => {
    const device = open(file(), { create: true, sizeBytes: 64 * MIB });
    await runAsync(submitBio(device, write(MIB, new Uint8Array(4096).fill(1))));
    await runAsync(submitBio(device, zero(0, 64 * MIB)));
    await runAsync(submitBio(device, { op: 'discard', pos: 0, segments: [], lengthBytes: MIB }));
    await runAsync(submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 }));
    device.close();
    expect(fs.statSync(file()).size).toBe(64 * MIB);
    expect(blocksOf() * 512).toBeLessThan(2 * MIB);
    expect(fs.readFileSync(file()).every((byte) => byte === 0)).toBe(true);
  });

  it('zeroes what is there in a file with holes, and in a file without', async () => {
    fs.writeFileSync(file('dense'), new Uint8Array(MIB).fill(7));
    fs.writeFileSync(file('holes'), new Uint8Array(MIB).fill(7));
    fs.truncateSync(file('holes'), 8 * MIB);
    for (const name of ['dense', 'holes']) {
      const device = open(file(name));
      await runAsync(submitBio(device, zero(512, device.sizeBytes - 512)));
      device.close();
      const bytes = fs.readFileSync(file(name));
      expect([bytes[511], bytes[512], bytes[MIB - 1]]).toEqual([7, 0, 0]);
    }
    expect(blocksOf('holes') * 512).toBeLessThan(2 * MIB);
  });

  it('writes the zeroes where the host counts no blocks for a file that has data', async () => {
    fs.writeFileSync(file(), new Uint8Array(MIB).fill(7));
    const real = fs.fstatSync;
    const spy = jest.spyOn(fs, 'fstatSync').mockImplementation(((fd: number) => Object.assign(real(fd), { blocks: 0 })));
    try {
      const device = open(file());
      await runAsync(submitBio(device, zero(0, MIB)));
      device.close();
    } finally {
      spy.mockRestore();
    }
    expect(fs.readFileSync(file()).every((byte) => byte === 0)).toBe(true);
  });

  it('reports a failed close as its own error, once, with nothing left open', () => {
    const device = open(file(), { create: true, sizeBytes: MIB });
    const real = fs.closeSync;
    const spy = jest.spyOn(fs, 'closeSync').mockImplementation((fd) => {
      real(fd);
      throw Object.assign(new Error('EIO: i/o error, close'), { code: 'EIO' });
    });
    try {
      expect(() => device.close()).toThrow(withCode('EIO'));
      device.close();
    } finally {
      spy.mockRestore();
    }
  });

  it('moves more segments than one host call takes', async () => {
    const device = open(file(), { create: true, sizeBytes: 2 * MIB });
    const bytes = Uint8Array.from({ length: 2 * MIB }, (_, i) => (i * 31 + Math.floor(i / 509)) % 256);
    const segments = Array.from({ length: 4096 }, (_, i) => bytes.subarray(i * 512, (i + 1) * 512));
    await runAsync(submitBio(device, write(0, bytes, { segments, fua: true })));
    expect(Buffer.compare(fs.readFileSync(file()), bytes)).toBe(0);
    const back = new Uint8Array(2 * MIB);
    const into = Array.from({ length: 2048 }, (_, i) => back.subarray(i * 1024, (i + 1) * 1024));
    await runAsync(submitBio(device, { op: 'read', pos: 0, segments: into, lengthBytes: back.length }));
    expect(Buffer.compare(back, bytes)).toBe(0);
    device.close();
  });

  it('resizes, and reads zeroes where it grew', async () => {
    const device = open(file(), { create: true, sizeBytes: MIB });
    await runAsync(submitBio(device, write(MIB - 512, new Uint8Array(512).fill(9))));
    device.resize(512);
    expect(await device.submit(write(512, new Uint8Array(512)))).toMatchObject({ error: { code: 'EINVAL' } });
    device.resize(2 * MIB);
    const back = new Uint8Array(512).fill(1);
    await runAsync(submitBio(device, { op: 'read', pos: MIB - 512, segments: [back], lengthBytes: 512 }));
    expect(back.every((byte) => byte === 0)).toBe(true);
    expect(() => device.resize(100)).toThrow(withCode('EINVAL'));
    device.close();
    expect(fs.statSync(file()).size).toBe(2 * MIB);
  });

  it('refuses writes when it is read-only, and anything when it is closed', async () => {
    fs.writeFileSync(file(), new Uint8Array(1024 + 100));
    const device = open(file(), { readOnly: true });
    expect(device.sizeBytes).toBe(1024);
    expect(await device.submit(write(0, new Uint8Array(512)))).toMatchObject({ error: { code: 'EROFS' } });
    expect(await device.submit({ op: 'flush', pos: 0, segments: [], lengthBytes: 0 })).toEqual({ ok: true });
    expect(() => device.resize(512)).toThrow(withCode('EROFS'));
    device.close();
    device.close();
    const read: Bio = { op: 'read', pos: 0, segments: [new Uint8Array(512)], lengthBytes: 512 };
    expect(await device.submit(read)).toMatchObject({ error: { code: 'EBADF' } });
  });

  it('answers EIO when the file was cut under it', async () => {
    fs.writeFileSync(file(), new Uint8Array(2048));
    const device = open(file());
    fs.truncateSync(file(), 512);
    const read: Bio = { op: 'read', pos: 0, segments: [new Uint8Array(2048)], lengthBytes: 2048 };
    expect(await device.submit(read)).toMatchObject({ error: { code: 'EIO', detail: { pos: 512 } } });
    device.close();
  });

  it('keeps what a file holds unless told to truncate, and never shrinks it', () => {
    fs.writeFileSync(file(), new Uint8Array(2048).fill(5));
    open(file(), { create: true, sizeBytes: 1024 }).close();
    expect(fs.readFileSync(file()).filter((byte) => byte === 5).length).toBe(2048);
    open(file(), { truncate: true, sizeBytes: 1024 }).close();
    expect(fs.readFileSync(file()).equals(new Uint8Array(1024))).toBe(true);
  });

  it('throws the host code, with the path', () => {
    const codeOf = (run: () => unknown): unknown => {
      try {
        run();
        return undefined;
      } catch (error) {
        expect(error).toMatchObject({ name: 'FsError' });
        return (error as { code?: unknown }).code;
      }
    };
    expect(codeOf(() => open(file('none')))).toBe('ENOENT');
    expect(codeOf(() => open(dir))).toBe('EISDIR');
    expect(codeOf(() => open('/dev/null'))).toBe('EINVAL');
    fs.writeFileSync(file(), '');
    expect(codeOf(() => open(file(), { create: true, exclusive: true, sizeBytes: 512 }))).toBe('EEXIST');
    expect(codeOf(() => open(file(), { create: true }))).toBe('EINVAL');
    expect(codeOf(() => open(file(), { readOnly: true, create: true, sizeBytes: 512 }))).toBe('EINVAL');
    expect(codeOf(() => open(file(), { create: true, sizeBytes: 1000 }))).toBe('EINVAL');
    expect(codeOf(() => open(file(), { sectorsize: 512 } as object))).toBe('EINVAL');
    expect(codeOf(() => open(path.join(file(), 'x')))).toBe('ENOTDIR');
  });
});

describe('openAsyncFileDevice', () => {
  it('answers the last bio when closing fails behind it', async () => {
    const device = openAsyncFileDevice(file(), { create: true, sizeBytes: MIB });
    const real = fs.closeSync;
    const spy = jest.spyOn(fs, 'closeSync').mockImplementation((fd) => {
      real(fd);
      throw Object.assign(new Error('EIO: i/o error, close'), { code: 'EIO' });
    });
    try {
      const last = runAsync(submitBio(device, write(0, new Uint8Array(4096))));
      device.close();
      await expect(last).rejects.toThrow(withCode('EIO'));
    } finally {
      spy.mockRestore();
    }
  });

  it('is refused by runSync, and closes after what is in flight', async () => {
    const device = openAsyncFileDevice(file(), { create: true, sizeBytes: MIB });
    expect(() => runSync(submitBio(device, write(0, new Uint8Array(512))))).toThrow(withCode('ENOTSUP'));
    const answers = [0, 1, 2, 3].map((i) => device.submit(write(i * 4096, new Uint8Array(4096).fill(i + 1))));
    device.close();
    for (const answer of answers) expect(await answer).toEqual({ ok: true });
    expect(fs.readFileSync(file())[3 * 4096]).toBe(4);
  });
});

describe('a real block device', () => {
  const losetup = (...args: string[]): string | undefined => {
    const run = spawnSync('losetup', args, { encoding: 'utf8' });
    return run.status === 0 ? run.stdout.trim() : undefined;
  };
  const root = process.getuid?.() === 0;

  (root ? it : it.skip).each([512, 4096])('has the size and the sectors of the disk: losetup, %i', (sectorSize) => {
    fs.writeFileSync(file(), new Uint8Array(3 * MIB));
    const node = losetup('--find', '--show', '--sector-size', `${sectorSize}`, file());
    if (node === undefined) {
      // A container without loop devices, not a failure of ours; CI has them.
      expect(process.env['CI']).not.toBe('true');
      return;
    }
    try {
      const device = openFileDevice(node, { exclusive: true });
      expect([device.sizeBytes, device.sectorSize]).toEqual([3 * MIB, sectorSize]);
      runSync(submitBio(device, write(2 * MIB, new Uint8Array(4096).fill(3))));
      runSync(submitBio(device, zero(2 * MIB, 4096)));
      runSync(submitBio(device, write(MIB, new Uint8Array(4096).fill(4), { fua: true })));
      expect(() => device.resize(MIB)).toThrow(withCode('ENOTSUP'));
      device.close();
      const bytes = fs.readFileSync(file());
      expect([bytes[MIB], bytes[2 * MIB]]).toEqual([4, 0]);
    } finally {
      losetup('--detach', node);
    }
  });
});
