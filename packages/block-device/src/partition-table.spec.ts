/** Partition tables, as the real tools write them and as nobody should. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FsError, runSync, submitBio } from '@iomap/io';
import fc from 'fast-check';
import { crc32 } from './crc32.js';
import { memoryDeviceFrom } from './memory.js';
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
  const found = spawnSync(tool, ['--version']).error === undefined;
  return found || process.env['CI'] === 'true' ? it : it.skip;
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

  withTool('sfdisk')('falls back to the backup GPT, byte by byte of the primary', () => {
    const { file, json } = sfdisk('backup', GPT_SCRIPT, 16 * MIB + 512 * 7);
    const bytes = new Uint8Array(fs.readFileSync(file));
    const device = memoryDeviceFrom(bytes);
    // The header's fields and CRCs, and the table.
    for (const at of [512, 520, 524, 528, 536, 584, 592, 596, 600, 1024, 1024 + 32, 1024 + 56, 1024 + 16000]) {
      bytes[at] = (bytes[at] ?? 0) ^ 0x41;
      expectAsSfdisk(runSync(readPartitions(device)), json);
      bytes[at] = (bytes[at] ?? 0) ^ 0x41;
    }
    bytes.fill(0, 512, 34 * 512);
    expectAsSfdisk(runSync(readPartitions(device)), json);
    bytes[bytes.length - 512 + 16] = (bytes[bytes.length - 512 + 16] ?? 0) ^ 1;
    expect(() => runSync(readPartitions(device))).toThrow(withCode('EBADMSG'));
    bytes.fill(0, bytes.length - 512);
    expect(() => runSync(readPartitions(device))).toThrow(withCode('EUCLEAN'));
  });

  withTool('sfdisk')('reads a GPT of 4096-byte sectors, on a device of either sector size', () => {
    // A 4096-byte-sector disk by hand: the structures of a 512-byte one, moved, with the positions in its own sectors.
    const { file } = sfdisk('small', 'label: gpt\nstart=2048, size=2048, type=linux, name=x\n', 8 * MIB);
    const small = new Uint8Array(fs.readFileSync(file));
    const bytes = new Uint8Array(8 * MIB);
    bytes.set(small.subarray(0, 512));
    bytes.set(small.subarray(512, 1024), 4096);
    bytes.set(small.subarray(1024, 1024 + 16384), 8192);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setBigUint64(8192 + 32, 256n, true);
    view.setBigUint64(8192 + 40, 511n, true);
    view.setUint32(4096 + 88, crcOf(bytes.subarray(8192, 8192 + 16384)), true);
    view.setUint32(4096 + 16, 0, true);
    view.setUint32(4096 + 16, crcOf(bytes.subarray(4096, 4096 + 92)), true);
    for (const sectorSize of [512, 4096] as const) {
      const found = runSync(readPartitions(memoryDeviceFrom(bytes, { sectorSize })));
      expect(found).toMatchObject([{ number: 1, pos: MIB, sizeBytes: MIB, label: 'x' }]);
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
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const entry = (sector: number, slot: number, type: number, start: number, count: number): void => {
      const at = sector * 512 + 446 + slot * 16;
      view.setUint8(at + 4, type);
      view.setUint32(at + 8, start, true);
      view.setUint32(at + 12, count, true);
      view.setUint16(sector * 512 + 510, 0xaa55, true);
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

  withTool('sfdisk')('gives a result or an FsError whatever bytes are changed', () => {
    const gpt = new Uint8Array(fs.readFileSync(sfdisk('fuzz-gpt', GPT_SCRIPT, 16 * MIB).file));
    const mbr = new Uint8Array(
      fs.readFileSync(sfdisk('fuzz-mbr', 'label: dos\nsize=2MiB\ntype=5\nsize=2MiB\nsize=2MiB\n', 16 * MIB).file),
    );
    const at = fc.oneof(fc.nat(34 * 512), fc.nat(16 * MIB - 1), fc.integer({ min: 16 * MIB - 33 * 512, max: 16 * MIB - 1 }));
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

/** CRC-32 bit by bit: not the code under test. */
function crcOf(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

describe('partitionDevice', () => {
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
