import type { Bio } from '../request.js';
import { SimDevice } from './sim-device.js';

const SECTOR = 512;
const write = (sector: number, fill: number, sectors = 1, more: Partial<Bio> = {}): Bio => ({
  op: 'write',
  pos: sector * SECTOR,
  segments: [new Uint8Array(sectors * SECTOR).fill(fill)],
  lengthBytes: sectors * SECTOR,
  ...more,
});
const flush: Bio = { op: 'flush', pos: 0, segments: [], lengthBytes: 0 };

/** The first byte of each sector. */
const sectorsOf = (device: SimDevice): string =>
  Array.from({ length: device.sizeBytes / SECTOR }, (_, i) => device.toBytes()[i * SECTOR]).join('');
const outcomes = (device: SimDevice, max = 1000): string[] =>
  [...new Set([...device.crashImages({ max })].map(sectorsOf))].sort();

describe('SimDevice', () => {
  it('reads what was written and forks without sharing', () => {
    const device = new SimDevice({ sizeBytes: 4 * SECTOR });
    device.submit(write(1, 7));
    const fork = device.fork();
    device.submit(write(1, 8));
    fork.submit(write(0, 3));
    expect(sectorsOf(device)).toBe('0800');
    expect(sectorsOf(fork)).toBe('3700');
    device.submit({ op: 'writeZeroes', pos: SECTOR, segments: [], lengthBytes: SECTOR });
    expect(sectorsOf(device)).toBe('0000');
  });

  it('may lose any subset of what was not flushed, and nothing of what was', () => {
    const device = new SimDevice({ sizeBytes: 3 * SECTOR });
    device.submit(write(0, 1));
    device.submit(flush);
    expect(outcomes(device)).toEqual(['100']);
    device.submit(write(1, 2));
    device.submit(write(2, 3));
    expect(outcomes(device)).toEqual(['100', '103', '120', '123']);
    expect(device.unsettled.length).toBe(2);
    device.submit(flush);
    expect(outcomes(device)).toEqual(['123']);
    expect(device.unsettled.length).toBe(0);
  });

  it('gives each version of a sector that was overwritten', () => {
    const device = new SimDevice({ sizeBytes: SECTOR });
    device.submit(write(0, 1));
    device.submit(write(0, 2));
    expect(outcomes(device)).toEqual(['0', '1', '2']);
  });

  it('tears long writes, keeps atomic ones whole', () => {
    const torn = new SimDevice({ sizeBytes: 3 * SECTOR });
    torn.submit(write(0, 1, 3));
    expect(outcomes(torn)).toEqual(expect.arrayContaining(['000', '100', '110', '111']));
    const whole = new SimDevice({ sizeBytes: 3 * SECTOR, atomicWriteBytes: 3 * SECTOR });
    whole.submit(write(0, 1, 3, { atomic: true }));
    expect(outcomes(whole)).toEqual(['000', '111']);
    expect(new SimDevice({ sizeBytes: 3 * SECTOR }).submit(write(0, 1, 3, { atomic: true })).ok).toBe(false);
  });

  it('settles a write with fua alone, in its place in the line', () => {
    const device = new SimDevice({ sizeBytes: 2 * SECTOR });
    device.submit(write(0, 1));
    device.submit(write(0, 2, 1, { fua: true }));
    device.submit(write(1, 3));
    expect(outcomes(device)).toEqual(['20', '23']);
  });

  it('settles by a flush only what was complete when the flush started', () => {
    const device = new SimDevice({ sizeBytes: 2 * SECTOR });
    const slow = device.begin(write(0, 1));
    expect(sectorsOf(device)).toBe('00');
    expect(outcomes(device)).toEqual(['00', '10']); // in flight: it may be on the medium already
    const flushing = device.begin(flush);
    device.submit(write(1, 2));
    device.complete(slow);
    device.complete(flushing);
    expect(outcomes(device)).toEqual(['00', '02', '10', '12']);
    device.submit(flush);
    expect(outcomes(device)).toEqual(['12']);
  });

  it('leaves a failed write in part, on the disk and after a crash', () => {
    const device = new SimDevice({ sizeBytes: 3 * SECTOR });
    expect(device.fail(device.begin(write(0, 1, 3)), 'EIO', 2)).toMatchObject({ ok: false, error: { code: 'EIO' } });
    expect(sectorsOf(device)).toBe('110');
    expect(outcomes(device)).toContain('111');
  });

  it('samples the images of many writes within the limit, the same ones for the same seed', () => {
    const device = new SimDevice({ sizeBytes: 64 * SECTOR });
    for (let i = 0; i < 64; i++) device.submit(write(i, 1));
    const images = (seed: number): string[] => [...device.crashImages({ max: 50, seed })].map(sectorsOf);
    expect(images(1).length).toBe(50);
    expect(images(1)).toEqual(images(1));
    const sampled = (seed: number): string[] => [...device.crashImages({ max: 400, seed })].map(sectorsOf);
    expect(sampled(1)).not.toEqual(sampled(2));
  });

  it('refuses what is out of range or off the sectors', () => {
    const device = new SimDevice({ sizeBytes: 2 * SECTOR });
    for (const bio of [write(2, 1), write(-1, 1), write(0.5, 1), write(0, 1, 3)]) {
      expect(device.submit(bio)).toMatchObject({ ok: false, error: { code: 'EINVAL' } });
    }
    expect(device.unsettled.length).toBe(0);
    expect(new SimDevice({ sizeBytes: 512, readOnly: true }).submit(write(0, 1))).toMatchObject({
      error: { code: 'EROFS' },
    });
  });
});
