/** Every device against the plainest model there is: one array of bytes. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runAsync, runSync, submitAll, submitBio, type Bio, type BioRequest } from '@iomap/io';
import fc from 'fast-check';
import { memfs } from 'memfs';
import type { BlockDevice } from './device.js';
import { memoryDevice, memoryDeviceFrom } from './memory.js';
import { openMemfsDevice } from './memfs/index.js';
import { openAsyncFileDevice, openFileDevice } from './node/index.js';

const SECTOR = 512;
const SECTORS = 600; // more than two chunks of the memory device
const SIZE = SECTORS * SECTOR;

interface Step {
  readonly op: 'read' | 'write' | 'writeZeroes' | 'flush';
  readonly sector: number;
  readonly sectors: number;
  /** Where the range is cut into segments, in bytes. */
  readonly cuts: readonly number[];
  readonly fill: number;
}

const step: fc.Arbitrary<Step> = fc
  .record({
    op: fc.constantFrom('read', 'read', 'write', 'write', 'writeZeroes', 'flush'),
    sector: fc.nat(SECTORS - 1),
    sectors: fc.nat(300),
    cuts: fc.array(fc.nat(300 * SECTOR), { maxLength: 4 }),
    fill: fc.integer({ min: 0, max: 255 }),
  })
  .map((s) => ({ ...s, sectors: Math.min(s.sectors, SECTORS - s.sector) }));

const cut = (bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] => {
  const at = [0, ...cuts.filter((c) => c < bytes.length).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
};

const pattern = (length: number, fill: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let i = 0; fill !== 0 && i < length; i++) bytes[i] = fill + i * 7 + Math.floor(i / 251);
  return bytes;
};

const bioOf = (s: Step, bytes: Uint8Array): Bio => ({
  op: s.op,
  pos: s.sector * SECTOR,
  segments: s.op === 'read' || s.op === 'write' ? cut(bytes, s.cuts) : [],
  lengthBytes: s.sectors * SECTOR,
});

/** What `s` does to the model; the bytes that it writes or must read. */
function model(disk: Uint8Array, s: Step): Uint8Array {
  const pos = s.sector * SECTOR;
  const length = s.sectors * SECTOR;
  if (s.op === 'write') disk.set(pattern(length, s.fill), pos);
  if (s.op === 'writeZeroes') disk.fill(0, pos, pos + length);
  return disk.slice(pos, pos + length);
}

const makers: Record<string, (dir: string) => BlockDevice> = {
  memory: () => memoryDevice({ sizeBytes: SIZE }),
  'memory over bytes': () => memoryDeviceFrom(new Uint8Array(SIZE)),
  'new file': (dir) => openFileDevice(path.join(dir, 'new'), { create: true, truncate: true, sizeBytes: SIZE }),
  'sparse file': (dir) => {
    const file = path.join(dir, 'sparse');
    fs.writeFileSync(file, '');
    fs.truncateSync(file, SIZE);
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, new Uint8Array(4096), 0, 4096, 0);
    fs.closeSync(fd);
    return openFileDevice(file);
  },
  'dense file': (dir) => {
    fs.writeFileSync(path.join(dir, 'dense'), new Uint8Array(SIZE));
    return openFileDevice(path.join(dir, 'dense'));
  },
  'async file': (dir) => openAsyncFileDevice(path.join(dir, 'a'), { create: true, truncate: true, sizeBytes: SIZE }),
  memfs: () => openMemfsDevice(memfs().fs, '/image', { create: true, sizeBytes: SIZE }),
};

describe.each(Object.entries(makers))('%s', (_name, make) => {
  let dir = '';
  beforeAll(() => (dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iomap-device-'))));
  afterAll(() => fs.rmSync(dir, { recursive: true }));

  it('reads what was written, whatever the bios', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const device = make(dir);
        const disk = new Uint8Array(SIZE);
        try {
          for (const s of steps) {
            const expected = model(disk, s);
            const bytes = s.op === 'read' ? new Uint8Array(expected.length).fill(0xa5) : expected;
            const io = submitBio(device, bioOf(s, bytes));
            if (device.synchronous) runSync(io);
            else await runAsync(io);
            if (s.op === 'read') expect(Buffer.compare(bytes, expected)).toBe(0);
          }
        } finally {
          device.close();
        }
      }),
      { numRuns: 25 },
    );
  });

  it('reads any bytes within the call, where it can', async () => {
    const device = make(dir);
    const content = pattern(SIZE, 5);
    try {
      await runAsync(submitBio(device, { op: 'write', pos: 0, segments: [content], lengthBytes: SIZE }));
      const { readNow } = device;
      if (readNow === undefined) return;
      const bytes = new Uint8Array(777);
      expect(readNow.call(device, 1001, bytes)).toBe(true);
      expect(Buffer.compare(bytes, content.subarray(1001, 1778))).toBe(0);
      expect(readNow.call(device, SIZE - 776, bytes)).toBe(false);
      expect(readNow.call(device, -1, bytes)).toBe(false);
    } finally {
      device.close();
    }
  });

  it('carries out a batch of bios that do not overlap, all in flight', async () => {
    const device = make(dir);
    const content = pattern(SIZE, 3);
    const requests = (op: 'read' | 'write', bytes: Uint8Array): BioRequest[] =>
      Array.from({ length: SECTORS / 10 }, (_, i) => ({
        kind: 'bio' as const,
        target: device,
        bio: { op, pos: i * 5120, segments: [bytes.subarray(i * 5120, (i + 1) * 5120)], lengthBytes: 5120 },
      }));
    const back = new Uint8Array(SIZE);
    try {
      await runAsync(submitAll(requests('write', content).reverse()));
      await runAsync(submitAll(requests('read', back)));
    } finally {
      device.close();
    }
    expect(Buffer.compare(back, content)).toBe(0);
  });

  it('answers EINVAL out of range and off the sectors, and stays usable', async () => {
    const device = make(dir);
    const bad: Bio[] = [
      { op: 'read', pos: SIZE, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR },
      { op: 'write', pos: -SECTOR, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR },
      { op: 'write', pos: 1, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR },
      { op: 'read', pos: 0, segments: [new Uint8Array(100)], lengthBytes: 100 },
      { op: 'read', pos: Number.NaN, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR },
      { op: 'writeZeroes', pos: 0, segments: [], lengthBytes: SIZE + SECTOR },
      { op: 'discard', pos: 2 ** 60, segments: [], lengthBytes: SECTOR },
    ];
    for (const bio of bad) {
      const result = await device.submit(bio);
      expect(result).toMatchObject({ ok: false, error: { code: 'EINVAL' } });
    }
    const read = { op: 'read', pos: 0, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR } as const;
    expect(await device.submit(read)).toEqual({ ok: true });
    device.close();
  });
});
