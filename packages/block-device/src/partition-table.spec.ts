/** Partition tables, as the real tools write them and as nobody should. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FsError, runSync, submitBio } from '@iomap/io';
import fc from 'fast-check';
import { crc32 } from './crc32.js';
import { memoryDevice, memoryDeviceFrom } from './memory.js';
import { openFileDevice } from './node/index.js';
import { partitionDevice } from './partition.js';
import { readPartitions, type Partition } from './partition-table.js';

/** Matches an error by its code. */
const withCode = (code: string): Error => expect.objectContaining({ code }) as Error;

const MIB = 2 ** 20;
let dir = '';
beforeAll(() => (dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iomap-part-'))));
afterAll(() => fs.rmSync(dir, { recursive: true }));

/** An oracle's test: skipped by name where the tool is missing, failed where CI says that it must be there. */
const withTool = (tool: string): typeof it => {
  const found = (): boolean => spawnSync(tool, ['--version']).error === undefined;
  if (!found() && process.getuid?.() === 0) {
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'fdisk'], { stdio: 'ignore', timeout: 120_000 });
  }
  return found() || process.env['CI'] === 'true' ? it : it.skip;
};

/** A disk image that sfdisk partitioned. */
function sfdisk(name: string, script: string, sizeBytes = 64 * MIB): { file: string; json: SfdiskTable } {
  const file = path.join(dir, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, sizeBytes);
  const made = spawnSync('sfdisk', ['--quiet', file], { input: script, encoding: 'utf8' });
  expect(made.stderr).toBe('');
  const json = spawnSync('sfdisk', ['--json', file], { encoding: 'utf8' }).stdout;
  return { file, json: (JSON.parse(json) as { partitiontable: SfdiskTable }).partitiontable };
}
interface SfdiskTable {
  readonly partitions: readonly { node: string; start: number; size: number; type: string; uuid?: string; name?: string }[];
}

const readFile = (file: string): Partition[] => {
  const device = openFileDevice(file, { readOnly: true });
  try {
    return runSync(readPartitions(device));
  } finally {
    device.close();
  }
};

/** CRC-32 bit by bit: not the code under test. */
function crcOf(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** A disk with a GPT at both ends, by the specification: 128 entries, positions in sectors of `unit` bytes. */
function gptDisk(sizeBytes: number, unit: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const last = Math.floor(sizeBytes / unit) - 1;
  const tableSectors = 16384 / unit;
  bytes[446 + 4] = 0xee;
  view.setUint32(446 + 8, 1, true);
  view.setUint32(446 + 12, last, true);
  view.setUint16(510, 0xaa55, true);
  const copy = (lba: number, other: number, tableLba: number): void => {
    [0, 1, 2].forEach((i) => {
      const at = tableLba * unit + i * 128;
      bytes.fill(0x11 * (i + 1), at, at + 16);
      bytes.fill(0xa0 + i, at + 16, at + 32);
      view.setBigUint64(at + 32, BigInt((MIB / unit) * (i + 1)), true);
      view.setBigUint64(at + 40, BigInt((MIB / unit) * (i + 2) - 1), true);
      view.setUint16(at + 56, 0x61 + i, true);
    });
    const at = lba * unit;
    bytes.set(new TextEncoder().encode('EFI PART'), at);
    view.setUint32(at + 8, 0x10000, true);
    view.setUint32(at + 12, 92, true);
    view.setBigUint64(at + 24, BigInt(lba), true);
    view.setBigUint64(at + 32, BigInt(other), true);
    view.setBigUint64(at + 72, BigInt(tableLba), true);
    view.setUint32(at + 80, 128, true);
    view.setUint32(at + 84, 128, true);
    view.setUint32(at + 88, crcOf(bytes.subarray(tableLba * unit, tableLba * unit + 16384)), true);
    view.setUint32(at + 16, crcOf(bytes.subarray(at, at + 92)), true);
  };
  copy(1, last, 2);
  copy(last, 1, last - tableSectors);
  return bytes;
}
const GPT_DISK = [1, 2, 3].map((n) => ({ number: n, pos: n * MIB, sizeBytes: MIB, label: 'abc'[n - 1] }));

/** Writes one entry of a boot record. */
function mbrEntry(bytes: Uint8Array, sector: number, slot: number, [type, start, count]: [number, number, number]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const at = sector * 512 + 446 + slot * 16;
  view.setUint8(at + 4, type);
  view.setUint32(at + 8, start, true);
  view.setUint32(at + 12, count, true);
  view.setUint16(sector * 512 + 510, 0xaa55, true);
}

const GPT_SCRIPT = 'label: gpt\nsize=4MiB, type=linux, name="first one"\nsize=8MiB, type=swap\ntype=uefi, name="Ünï"\n';

/** The same numbers, positions, types, names and ids as sfdisk's. */
function expectAsSfdisk(found: readonly Partition[], table: SfdiskTable): void {
  const shown = found.map((one) => ({
    number: one.number,
    start: one.pos / 512,
    size: one.sizeBytes / 512,
    type: one.type.replace(/^0x0?/, ''),
    uuid: one.uuid,
    name: one.label,
  }));
  const expected = table.partitions.map((one) => ({
    number: Number(/\d+$/.exec(one.node)?.[0]),
    start: one.start,
    size: one.size,
    type: one.type.toLowerCase(),
    uuid: one.uuid?.toLowerCase(),
    name: one.name ?? '',
  }));
  expect(shown).toEqual(expected);
}

describe('readPartitions', () => {
  withTool('sfdisk')('reads a GPT as sfdisk does', () => {
    const { file, json } = sfdisk('gpt', GPT_SCRIPT);
    expectAsSfdisk(readFile(file), json);
  });

  withTool('sfdisk')('reads an MBR with logical partitions as sfdisk does', () => {
    const script = 'label: dos\nsize=4MiB, bootable\nsize=30MiB, type=5\nsize=4MiB, type=82\nsize=5MiB\nsize=6MiB\nsize=3MiB\n';
    const { file, json } = sfdisk('mbr', script);
    const found = readFile(file);
    expectAsSfdisk(found, json);
    expect(found.map((one) => one.bootable)).toEqual([true, false, false, false, false, false]);
    expect(found.filter((one) => one.extended).map((one) => one.number)).toEqual([2]);
    expect(found.filter((one) => one.number >= 5).length).toBe(2);
  });

  it('falls back to the backup GPT, byte by byte of the primary', () => {
    const bytes = gptDisk(16 * MIB + 512 * 7, 512);
    const device = memoryDeviceFrom(bytes);
    expect(runSync(readPartitions(device))).toMatchObject(GPT_DISK);
    // The header's fields and CRCs, and the table.
    for (const at of [512, 520, 524, 528, 536, 584, 592, 596, 600, 1024, 1024 + 32, 1024 + 56, 1024 + 16000]) {
      bytes[at] = (bytes[at] ?? 0) ^ 0x41;
      expect(runSync(readPartitions(device))).toMatchObject(GPT_DISK);
      bytes[at] = (bytes[at] ?? 0) ^ 0x41;
    }
    bytes.fill(0, 512, 34 * 512);
    expect(runSync(readPartitions(device))).toMatchObject(GPT_DISK);
    bytes[bytes.length - 512 + 16] = (bytes[bytes.length - 512 + 16] ?? 0) ^ 1;
    expect(() => runSync(readPartitions(device))).toThrow(withCode('EBADMSG'));
    bytes.fill(0, bytes.length - 512);
    expect(() => runSync(readPartitions(device))).toThrow(withCode('EUCLEAN'));
  });

  it('reads a GPT of 4096-byte sectors, on a device of either sector size, backup too', () => {
    const bytes = gptDisk(8 * MIB, 4096);
    for (const sectorSize of [512, 4096] as const) {
      expect(runSync(readPartitions(memoryDeviceFrom(bytes, { sectorSize })))).toMatchObject(GPT_DISK);
    }
    bytes.fill(0, 4096, 8192);
    for (const sectorSize of [512, 4096] as const) {
      expect(runSync(readPartitions(memoryDeviceFrom(bytes, { sectorSize })))).toMatchObject(GPT_DISK);
    }
  });

  it('finds none on an empty disk, a tiny one, and a filesystem with a boot sector', () => {
    expect(runSync(readPartitions(memoryDeviceFrom(new Uint8Array(MIB))))).toEqual([]);
    expect(runSync(readPartitions(memoryDeviceFrom(new Uint8Array(0))))).toEqual([]);
    const boot = new Uint8Array(4096).fill(0xeb, 0, 510);
    boot.set([0x55, 0xaa], 510);
    expect(runSync(readPartitions(memoryDeviceFrom(boot)))).toEqual([]);
  });

  it('ends on a loop of extended boot records, and on a link out of the container', () => {
    const bytes = new Uint8Array(MIB);
    const entry = (sector: number, slot: number, ...fields: [number, number, number]): void => {
      mbrEntry(bytes, sector, slot, fields);
    };
    entry(0, 0, 5, 100, 1000);
    entry(100, 0, 0x83, 1, 10);
    entry(100, 1, 5, 20, 50);
    entry(120, 0, 0x83, 1, 10);
    const device = memoryDeviceFrom(bytes);
    expect(runSync(readPartitions(device)).map((one) => [one.number, one.pos / 512])).toEqual([
      [1, 100],
      [5, 101],
      [6, 121],
    ]);
    entry(120, 1, 5, 20, 50); // to itself
    expect(() => runSync(readPartitions(device))).toThrow(/loop of extended boot records/);
    entry(120, 1, 5, 1000, 50);
    expect(() => runSync(readPartitions(device))).toThrow(/outside its container/);
  });

  it('gives a result or an FsError whatever bytes are changed', () => {
    const gpt = gptDisk(16 * MIB, 512);
    const mbr = new Uint8Array(16 * MIB);
    mbrEntry(mbr, 0, 0, [0x83, 10, 10]);
    mbrEntry(mbr, 0, 1, [5, 100, 1000]);
    mbrEntry(mbr, 100, 0, [0x83, 1, 10]);
    mbrEntry(mbr, 100, 1, [5, 20, 50]);
    mbrEntry(mbr, 120, 0, [0x83, 1, 10]);
    const records = [0, 100, 120].map((sector) => fc.integer({ min: sector * 512 + 446, max: sector * 512 + 511 }));
    const at = fc.oneof(...records, fc.integer({ min: 512, max: 2048 }), fc.nat(16 * MIB - 1), fc.integer({ min: 16 * MIB - 33 * 512, max: 16 * MIB - 1 }));
    const change = fc.tuple(at, fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.array(change, { minLength: 1, maxLength: 20 }), (useGpt, fix, changes) => {
        const bytes = useGpt ? gpt : mbr;
        const undo = changes.map(([pos, value]) => {
          const old = bytes[pos] ?? 0;
          bytes[pos] = value;
          return [pos, old] as const;
        });
        // Past the checksums, so that the values themselves are met.
        if (useGpt && fix) undo.push(...fixCrcs(bytes));
        try {
          for (const one of runSync(readPartitions(memoryDeviceFrom(bytes)))) {
            expect(Number.isSafeInteger(one.pos) && one.sizeBytes > 0).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof FsError)) throw error;
        } finally {
          for (const [pos, old] of undo.reverse()) bytes[pos] = old;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** Makes the primary's CRCs right; what was there before. */
function fixCrcs(bytes: Uint8Array): (readonly [number, number])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const header = bytes.slice(512, 1024);
  const length = Math.min(view.getUint32(512 + 80, true) * view.getUint32(512 + 84, true), MIB);
  const from = Math.min(view.getUint32(512 + 72, true) * 512, bytes.length - length);
  view.setUint32(512 + 88, crc32(bytes.subarray(from, from + length)), true);
  view.setUint32(512 + 16, 0, true);
  view.setUint32(512 + 16, crc32(bytes.subarray(512, 512 + Math.min(512, view.getUint32(512 + 12, true)))), true);
  return [16, 17, 18, 19, 88, 89, 90, 91].map((i) => [512 + i, header[i] ?? 0] as const);
}

describe('partitionDevice', () => {
  it('closes the device underneath when it is its own', () => {
    let closed = 0;
    const base = Object.assign(memoryDevice({ sizeBytes: 4096 }), { close: () => void closed++ });
    partitionDevice(base, { pos: 512, sizeBytes: 512 }).close();
    expect(closed).toBe(0);
    partitionDevice(base, { pos: 512, sizeBytes: 512, closeBase: true }).close();
    expect(closed).toBe(1);
  });

  it('is a window: reads and writes inside, refuses outside', () => {
    const bytes = new Uint8Array(8192).fill(1);
    const base = memoryDeviceFrom(bytes);
    const part = partitionDevice(base, { pos: 1024, sizeBytes: 2048 });
    const sector = new Uint8Array(512).fill(9);
    runSync(submitBio(part, { op: 'write', pos: 512, segments: [sector], lengthBytes: 512 }));
    expect([bytes[1535], bytes[1536], bytes[2047], bytes[2048]]).toEqual([1, 9, 9, 1]);
    expect(part.submit({ op: 'write', pos: 2048, segments: [sector], lengthBytes: 512 })).toMatchObject({
      error: { code: 'EINVAL' },
    });
    runSync(submitBio(part, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 }));
  });

  it('refuses parts that are not on the device', () => {
    const base = memoryDeviceFrom(new Uint8Array(8192));
    for (const part of [
      { pos: 8192, sizeBytes: 512 },
      { pos: 100, sizeBytes: 512 },
      { pos: 0, sizeBytes: 8193 },
      { pos: -512, sizeBytes: 512 },
    ]) {
      expect(() => partitionDevice(base, part)).toThrow(withCode('EINVAL'));
    }
  });
});
