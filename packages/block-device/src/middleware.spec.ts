/** Overlay, trace, fault and merging. */
import { FsError, runAsync, runSync, submitAll, submitBio, type Bio, type BioRequest, type IoResult } from '@iomap/io';
import { exploreCrashes, SimDevice } from '@iomap/io/sim';
import fc from 'fast-check';
import type { BlockDevice } from './device.js';
import { faultDevice, type Fault } from './fault.js';
import { memoryDevice, memoryDeviceFrom, type MemoryDevice } from './memory.js';
import { mergeBios, submitMerged, submitMergedDetached } from './merge.js';
import { overlayDevice } from './overlay.js';
import { traceDevice } from './trace.js';

/** Matches an error by its code. */
const withCode = (code: string): Error => expect.objectContaining({ code }) as Error;

const S = 512;
const write = (sector: number, fill: number, sectors = 1): Bio => ({
  op: 'write',
  pos: sector * S,
  segments: [new Uint8Array(sectors * S).fill(fill)],
  lengthBytes: sectors * S,
});
const read = (sector: number, sectors = 1): Bio => ({
  op: 'read',
  pos: sector * S,
  segments: [new Uint8Array(sectors * S).fill(0xa5)],
  lengthBytes: sectors * S,
});
const flush: Bio = { op: 'flush', pos: 0, segments: [], lengthBytes: 0 };
const firsts = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length / S }, (_, i) => bytes[i * S] ?? -1);
const content = (device: BlockDevice): number[] => {
  const bio = read(0, device.sizeBytes / S);
  runSync(submitBio(device, bio));
  return firsts(bio.segments[0] ?? new Uint8Array(0));
};
/** A device whose bios answer later. */
const later = (base: BlockDevice): BlockDevice => ({
  name: 'later',
  synchronous: false,
  sizeBytes: base.sizeBytes,
  sectorSize: base.sectorSize,
  readOnly: base.readOnly,
  limits: base.limits,
  submit: (bio) => Promise.resolve().then(() => base.submit(bio)),
  close: () => base.close(),
});

describe('overlayDevice', () => {
  it('keeps the base as it was, a read-only one too', () => {
    const bytes = new Uint8Array(8 * S).fill(1);
    const base: BlockDevice = { ...spread(memoryDeviceFrom(bytes)), readOnly: true };
    const device = overlayDevice(base);
    runSync(submitBio(device, write(2, 7)));
    runSync(submitBio(device, write(4, 8, 2)));
    runSync(submitBio(device, { op: 'writeZeroes', pos: 0, segments: [], lengthBytes: S }));
    expect(content(device)).toEqual([0, 1, 7, 1, 8, 8, 1, 1]);
    expect(bytes.every((byte) => byte === 1)).toBe(true);
    expect(device.changes()).toEqual([
      { pos: 0, length: S },
      { pos: 2 * S, length: S },
      { pos: 4 * S, length: 2 * S },
    ]);
  });

  it('does not take a write for written that failed', () => {
    const store = faultDevice(memoryDevice({ sizeBytes: 4 * S }), { faults: [{ kind: 'fail', ops: ['write'] }] });
    const device = overlayDevice(memoryDeviceFrom(new Uint8Array(4 * S).fill(1)), { store });
    expect(() => runSync(submitBio(device, write(0, 9)))).toThrow(FsError);
    expect(content(device)).toEqual([1, 1, 1, 1]);
    runSync(submitBio(device, write(0, 9)));
    expect(content(device)).toEqual([9, 1, 1, 1]);
  });

  it('refuses a store that does not fit', () => {
    const base = memoryDevice({ sizeBytes: 8 * S });
    expect(() => overlayDevice(base, { store: memoryDevice({ sizeBytes: 4 * S }) })).toThrow(FsError);
    expect(() => overlayDevice(base, { stor: base } as object)).toThrow(withCode('EINVAL'));
  });

  it('is what an array of bytes is, over bases that answer now or later', async () => {
    const SECTORS = 5000; // more than two pages of its map
    const step = fc.record({
      bio: fc.constantFrom('read', 'write', 'writeZeroes'),
      sector: fc.nat(SECTORS - 1),
      sectors: fc.oneof(fc.nat(20), fc.nat(SECTORS)),
      fill: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 25 }), async (async, steps) => {
        const disk = numbered(SECTORS, 0);
        const base = memoryDeviceFrom(disk.slice());
        const device = overlayDevice(async ? later(base) : base);
        for (const one of steps) {
          const sectors = Math.min(one.sectors, SECTORS - one.sector);
          const [from, to] = [one.sector * S, (one.sector + sectors) * S];
          if (one.bio === 'read') {
            const bio = read(one.sector, sectors);
            expect(await device.submit(bio)).toEqual({ ok: true });
            expect(Buffer.compare(bio.segments[0] ?? disk, disk.subarray(from, to))).toBe(0);
          } else if (one.bio === 'write') {
            disk.fill(one.fill, from, to);
            expect(await device.submit(write(one.sector, one.fill, sectors))).toEqual({ ok: true });
          } else {
            disk.fill(0, from, to);
            await device.submit({ op: 'writeZeroes', pos: from, segments: [], lengthBytes: to - from });
          }
        }
        const all = read(0, SECTORS);
        await device.submit(all);
        expect(Buffer.compare(all.segments[0] ?? new Uint8Array(0), disk)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });
});

/** Sectors that differ from their neighbours. */
function numbered(sectors: number, from: number): Uint8Array {
  const bytes = new Uint8Array(sectors * S);
  for (let i = 0; i < sectors; i++) bytes.fill((from + i) % 256, i * S, (i + 1) * S);
  return bytes;
}

/** A device's members as own properties, to change one. */
function spread(device: BlockDevice): BlockDevice {
  const { name, synchronous, sizeBytes, sectorSize, readOnly, limits } = device;
  const submit = (bio: Bio) => device.submit(bio);
  return { name, synchronous, sizeBytes, sectorSize, readOnly, limits, submit, close: () => device.close() };
}

describe('traceDevice', () => {
  it('counts bios, bytes, segments, sizes and errors, and logs the last', async () => {
    const seen: string[] = [];
    for (const base of [memoryDevice({ sizeBytes: 64 * S }), later(memoryDevice({ sizeBytes: 64 * S }))]) {
      seen.length = 0;
      const device = traceDevice(base, {
        logMax: 2,
        onBio: (entry) => void seen.push(`${entry.op} ${entry.bytes}`),
        onEnd: (entry, result) => void seen.push(`${entry.op} ${result.ok ? 'ok' : 'failed'}`),
      });
      await device.submit(write(0, 1));
      await device.submit(write(1, 1, 3));
      await device.submit(read(0, 8));
      await device.submit(read(64));
      await device.submit(flush);
      expect(device.counters.write).toMatchObject({ bios: 2, bytes: 4 * S, segments: 2, errors: 0 });
      expect(device.counters.read).toMatchObject({ bios: 2, errors: 1 });
      expect(device.counters.flush.bios).toBe(1);
      expect(device.counters.write.sizes[9]).toBe(1); // 512
      expect(device.counters.write.sizes[10]).toBe(1); // 1536
      expect(device.log.map((entry) => [entry.index, entry.op])).toEqual([
        [3, 'read'],
        [4, 'flush'],
      ]);
      expect(seen.slice(0, 2)).toEqual(['write 512', 'write ok']);
      expect(seen).toContain('read failed');
      device.reset();
      expect(device.counters.write).toEqual({ bios: 0, bytes: 0, segments: 0, errors: 0, sizes: [] });
    }
  });
});

describe('faultDevice', () => {
  const make = (...faults: Fault[]) => {
    const memory = memoryDevice({ sizeBytes: 16 * S });
    return { memory, device: faultDevice(memory, { faults, seed: 3 }) };
  };
  const codes = (results: (IoResult | Promise<IoResult>)[]): string =>
    results.map((result) => ('ok' in result && !result.ok ? result.error.code : 'ok')).join();

  it('fails the nth of the bios that match, and no other', () => {
    const { memory, device } = make({ kind: 'fail', ops: ['write'], nth: 2, count: 2, code: 'ENOSPC' });
    const bios = [write(0, 1), read(0), write(1, 1), write(2, 1), write(3, 1)];
    expect(codes(bios.map((bio) => device.submit(bio)))).toBe('ok,ok,ENOSPC,ENOSPC,ok');
    expect(content(memory).slice(0, 4)).toEqual([1, 0, 0, 1]);
    expect(device.hits).toBe(2);
  });

  it('goes by range and predicate, until it is paused', () => {
    const { device } = make({ kind: 'fail', range: { pos: 4 * S, length: S }, count: 0 });
    expect(codes([write(0, 1, 4), write(3, 1, 2), read(4), flush, read(5)].map((bio) => device.submit(bio)))).toBe(
      'ok,EIO,EIO,ok,ok',
    );
    device.paused = true;
    expect(codes([device.submit(read(4))])).toBe('ok');
    const odd = make({ kind: 'fail', when: (bio) => bio.pos === S, count: 0 }).device;
    expect(codes([odd.submit(read(0)), odd.submit(read(1))])).toBe('ok,EIO');
  });

  it('tears, corrupts and loses', () => {
    const torn = make({ kind: 'tear', keepSectors: 2 });
    expect(codes([torn.device.submit(write(0, 7, 4))])).toBe('EIO');
    expect(content(torn.memory).slice(0, 4)).toEqual([7, 7, 0, 0]);

    const lost = make({ kind: 'lose', ops: ['write'] });
    expect(codes([lost.device.submit(write(0, 7))])).toBe('ok');
    expect(content(lost.memory)[0]).toBe(0);

    for (const op of ['read', 'write'] as const) {
      const { memory, device } = make({ kind: 'corrupt', ops: [op], bits: 3 });
      const bio = write(0, 0, 4);
      void device.submit(bio);
      const back = read(0, 4);
      void device.submit(back);
      expect(bio.segments[0]?.every((byte) => byte === 0)).toBe(true); // the caller's buffer is left alone
      expect(back.segments[0]?.some((byte) => byte !== 0)).toBe(true);
      expect(memory.toBytes().some((byte) => byte !== 0)).toBe(op === 'write');
    }
  });

  it('does the same for the same seed', () => {
    const run = (seed: number): string => {
      const device = faultDevice(memoryDevice({ sizeBytes: 16 * S }), {
        faults: [{ kind: 'fail', count: 0, probability: 0.5 }],
        seed,
      });
      return codes(Array.from({ length: 40 }, () => device.submit(read(0))));
    };
    expect(run(1)).toBe(run(1));
    expect(run(1)).not.toBe(run(2));
  });
});

describe('mergeBios', () => {
  const request = (target: BlockDevice, bio: Bio, end?: (result: IoResult) => void): BioRequest => ({
    kind: 'bio',
    target,
    bio,
    end,
  });

  it('joins neighbours in any order, and leaves the rest alone', () => {
    const device = traceDevice(memoryDevice({ sizeBytes: 64 * S }), { logMax: 20 });
    const bios = [write(4, 4), write(2, 2), write(3, 3), write(10, 10), read(11), flush, write(12, 12)];
    const requests = bios.map((bio) => request(device, bio));
    runSync(submitMerged(requests));
    expect(device.log.map((entry) => `${entry.op} ${entry.pos / S} ${entry.segments}`).sort()).toEqual(
      ['flush 0 0', 'read 11 1', 'write 10 1', 'write 12 1', 'write 2 3'].sort(),
    );
    expect(content(device).slice(2, 5)).toEqual([2, 3, 4]);
    expect(requests.every((one) => one.result?.ok === true)).toBe(true);
  });

  it('does not join across targets, durability, atomic writes, or the longest bio', () => {
    const a = memoryDevice({ sizeBytes: 64 * S });
    const b = memoryDevice({ sizeBytes: 64 * S });
    const small: BlockDevice = { ...spread(a), limits: { ...a.limits, maxBioBytes: 2 * S } };
    const count = (...requests: BioRequest[]): number => mergeBios(requests).length;
    expect(count(request(a, write(0, 1)), request(a, write(1, 1)))).toBe(1);
    expect(count(request(a, write(0, 1)), request(b, write(1, 1)))).toBe(2);
    expect(count(request(a, write(0, 1)), request(a, { ...write(1, 1), fua: true }))).toBe(2);
    expect(count(request(a, { ...write(0, 1), atomic: true }), request(a, write(1, 1)))).toBe(2);
    expect(count(request(a, write(0, 1)), request(a, { ...write(1, 1), atomic: true }))).toBe(2);
    expect(count(...[0, 1, 2].map((i) => request(small, write(i, 1))))).toBe(2);
    const many = Array.from({ length: 2050 }, () => new Uint8Array(S));
    const long = memoryDevice({ sizeBytes: 4096 * S });
    expect(count(...many.map((bytes, i) => request(long, { ...write(i, 1), segments: [bytes] })))).toBe(3);
  });

  it('gives every request of a failed bio the failure, and its end once', () => {
    const device = faultDevice(memoryDevice({ sizeBytes: 64 * S }), { faults: [{ kind: 'fail' }] });
    const ends: string[] = [];
    const requests = [0, 1, 5].map((i) => request(device, write(i, 1), (r) => void ends.push(`${i} ${r.ok}`)));
    expect(() => runSync(submitMerged(requests))).toThrow(withCode('EIO'));
    expect(ends).toEqual(['0 false', '1 false', '5 true']);
    expect(requests.map((one) => one.result?.ok)).toEqual([false, false, true]);
  });

  it.each([true, false])('tries the parts of a failed detached bio alone, so that one bad sector costs one (synchronous: %s)', async (synchronous) => {
    const base = memoryDevice({ sizeBytes: 64 * S });
    const bad = faultDevice(base, { faults: [{ kind: 'fail', range: { pos: 3 * S, length: S }, count: 0 }] });
    const device: BlockDevice = synchronous ? bad : { ...spread(bad), synchronous, submit: async (bio) => await bad.submit(bio) };
    const ends: string[] = [];
    const requests = [2, 3, 4].map((i) => request(device, write(i, i), (result) => void ends.push(result.ok ? 'ok' : result.error.code)));
    await runAsync(submitMergedDetached(requests));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ends).toEqual(['ok', 'EIO', 'ok']);
    expect(requests.map((one) => one.result?.ok)).toEqual([true, false, true]);
    expect(content(base).slice(2, 5)).toEqual([2, 0, 4]);
  });

  it('leaves the device and the results as without merging', async () => {
    const sectors = fc.uniqueArray(fc.nat(63), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(sectors, fc.constantFrom('read', 'write'), fc.boolean(), async (list, op, async) => {
        const start = numbered(64, 100);
        const run = async (merge: boolean): Promise<unknown> => {
          const memory: MemoryDevice = memoryDeviceFrom(start.slice());
          const device = async ? later(memory) : memory;
          const ended: number[] = [];
          const requests = list.map((i) =>
            request(device, op === 'read' ? read(i) : write(i, i + 1), () => void ended.push(i)),
          );
          await runAsync(merge ? submitMerged(requests) : submitAll(requests));
          return {
            disk: firsts(memory.toBytes()),
            results: requests.map((one) => one.result),
            read: requests.map((one) => one.bio.segments[0]?.[0]),
            ended: ended.sort(),
          };
        };
        expect(await run(true)).toEqual(await run(false));
      }),
      { numRuns: 100 },
    );
  });
});

describe('a SimDevice', () => {
  it('is a block device, under middleware and the simulator too', () => {
    const result = exploreCrashes(
      function* (device, { note }) {
        const traced: BlockDevice = traceDevice(device);
        yield* submitMerged([0, 1, 2].map((i) => ({ kind: 'bio', target: traced, bio: write(i, i + 1) })));
        yield* submitBio(traced, flush);
        note('durable');
      },
      (image, crash) => {
        const overlay = overlayDevice(image);
        if (crash.notes.includes('durable')) expect(content(overlay)).toEqual([1, 2, 3, 0]);
      },
      { device: () => new SimDevice({ sizeBytes: 4 * S }), seed: 5 },
    );
    expect(result.images).toBeGreaterThan(8);
  });
});
