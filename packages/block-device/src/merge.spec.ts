import { FsError, runAsync, runSync, submit, submitBio, WaitQueue, type Bio, type BioRequest, type Io, type IoResult } from '@iomap/io';
import type { BlockDevice } from './device.js';
import { memoryDevice } from './memory.js';
import { plugged } from './merge.js';

const SECTOR = 512;

/** A device that logs where its bios begin and how long they are; reads that touch a sector of `bad` fail. */
function logged(bad: readonly number[] = []): { device: BlockDevice; log: [number, number][] } {
  const memory = memoryDevice({ sizeBytes: 64 * SECTOR });
  const log: [number, number][] = [];
  const device: BlockDevice = {
    name: 'logged', synchronous: true, sizeBytes: memory.sizeBytes, sectorSize: SECTOR, readOnly: false, limits: memory.limits,
    submit(bio: Bio): IoResult {
      const first = bio.pos / SECTOR;
      const count = bio.segments.reduce((n, segment) => n + segment.length, 0) / SECTOR;
      log.push([first, count]);
      const isBad = bad.some((sector) => sector >= first && sector < first + count);
      return isBad ? { ok: false, error: new FsError('EIO') } : (memory.submit(bio) as IoResult);
    },
    close: () => undefined,
  };
  return { device, log };
}

function readOf(device: BlockDevice, sector: number, count: number, ends: Map<number, boolean>): BioRequest {
  const bytes = new Uint8Array(count * SECTOR);
  return {
    kind: 'bio',
    target: device,
    bio: { op: 'read', pos: sector * SECTOR, segments: [bytes], lengthBytes: bytes.length },
    end: (result) => ends.set(sector, result.ok),
  };
}

/** Reads one sector, then another: metadata that is found by metadata. */
function* metadata(device: BlockDevice, ...sectors: readonly number[]): Io<string> {
  for (const sector of sectors) {
    yield* submitBio(device, { op: 'read', pos: sector * SECTOR, segments: [new Uint8Array(SECTOR)], lengthBytes: SECTOR });
  }
  return 'mapped';
}

describe('plugged', () => {
  it('sends what is ready in one bio with the first read where they are neighbours', () => {
    const { device, log } = logged();
    const ends = new Map<number, boolean>();
    const ready = [readOf(device, 20, 4, ends), readOf(device, 2, 6, ends), readOf(device, 9, 3, ends), readOf(device, 12, 1, ends)];
    expect(runSync(plugged(() => ready, metadata(device, 8, 30)))).toBe('mapped');
    expect(log).toEqual([[20, 4], [2, 11], [30, 1]]);
    expect([...ends].sort((a, b) => a[0] - b[0])).toEqual([[2, true], [9, true], [12, true], [20, true]]);
  });

  it('sends what is ready first where it is not next to the read', () => {
    const { device, log } = logged();
    const ends = new Map<number, boolean>();
    runSync(plugged(() => [readOf(device, 2, 5, ends)], metadata(device, 8)));
    expect(log).toEqual([[2, 5], [8, 1]]);
    expect(ends).toEqual(new Map([[2, true]]));
  });

  it('takes nothing where nobody waits', () => {
    const { device } = logged();
    const take = jest.fn(() => []);
    expect(runSync(plugged(take, metadata(device)))).toBe('mapped');
    expect(take).not.toHaveBeenCalled();
  });

  it.each([
    ['of what is ready', 3, { ends: [[2, false]], throws: false }],
    ['of the read that is waited for', 8, { ends: [[2, true]], throws: true }],
  ])('keeps a bad sector %s to itself', (_, bad, expected) => {
    const { device } = logged([bad]);
    const ends = new Map<number, boolean>();
    let threw = false;
    try {
      runSync(plugged(() => [readOf(device, 2, 6, ends)], metadata(device, 8)));
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' });
      threw = true;
    }
    expect({ ends: [...ends], throws: threw }).toEqual(expected);
  });

  it('ends what is ready, and unlocks inside, when the task is cancelled', () => {
    const { device } = logged();
    const ends = new Map<number, boolean>();
    let unlocked = false;
    const io = plugged(() => [readOf(device, 20, 4, ends), readOf(device, 2, 6, ends)], (function* (): Io<void> {
      try {
        yield* metadata(device, 8);
      } finally {
        unlocked = true;
      }
    })());
    // The first request, which the runner has and does not answer.
    const first = io.next();
    expect(first.done).toBe(false);
    io.return(undefined);
    expect(unlocked).toBe(true);
    expect(ends.get(2)).toBe(false);
  });

  it('loses no wake-up of the wait that it sends something before', async () => {
    const { device } = logged();
    const ends = new Map<number, boolean>();
    const queue = new WaitQueue('a lock');
    const one = readOf(device, 2, 6, ends);
    // Woken by the very read that goes down before the wait.
    const waking: BioRequest = { ...one, end: () => { queue.wakeAll(); } };
    const io = (): Io<void> => submit({ kind: 'wait', queue });
    await runAsync(plugged(() => [waking], io()));
    runSync(plugged(() => [waking], io()));
    expect(queue.length).toBe(0);
    expect(() => runSync(plugged(() => [one], io()))).toThrow('a lock');
    expect(queue.length).toBe(0);
  });

  it('is the same under the asynchronous runner', async () => {
    const { device, log } = logged([9]);
    const ends = new Map<number, boolean>();
    const ready = [readOf(device, 2, 6, ends), readOf(device, 9, 1, ends)];
    expect(await runAsync(plugged(() => ready, metadata(device, 8)))).toBe('mapped');
    expect(log[0]).toEqual([2, 8]);
    expect(ends).toEqual(new Map([[2, true], [9, false]]));
  });
});
