/** The small parts of the floor: errors, env, random numbers, units. */
import { AssertionError, assert } from './assert.js';
import { fixedEnv, systemEnv } from './env.js';
import { corrupt, errnoOf, fsCodeOf, FsError, isCode, unsupported, withContext } from './error.js';
import { SeededRandom } from './random.js';
import { divCeil, divFloor, isPowerOfTwo, roundDown, roundUp } from './units.js';

describe('FsError', () => {
  it('has the shape of a Node system error', () => {
    const error = new FsError('ENOENT', { syscall: 'rename', path: '/a', dest: '/b' });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'rename', path: '/a', dest: '/b' });
    expect(error.message).toBe("ENOENT: no such file or directory, rename '/a' -> '/b'");
  });

  it('takes context on the way up without a change to itself; what is known below stays', () => {
    const low = corrupt('loop', { block: 7 });
    const high = withContext(low, { syscall: 'read', path: '/f', detail: { block: 9, ino: 12 } });
    expect(high).toMatchObject({ code: 'EUCLEAN', path: '/f', detail: { block: 7, ino: 12 }, cause: low });
    expect(high.message).toContain('loop, inode 12, block 7');
    expect(low.path).toBeUndefined();
  });

  it('is told apart by its code', () => {
    expect(isCode(unsupported('x'), 'EOPNOTSUPP', 'EIO')).toBe(true);
    expect(isCode(new Error('EIO'), 'EIO')).toBe(false);
    expect(isCode(undefined, 'EIO')).toBe(false);
    expect(fsCodeOf('ENOSPC')).toBe('ENOSPC');
    expect([fsCodeOf('EWHATEVER'), fsCodeOf('toString'), fsCodeOf(5)]).toEqual(['EIO', 'EIO', 'EIO']);
    expect(errnoOf('EUCLEAN')).toBe(117);
  });

  it('is not what a broken invariant throws', () => {
    expect(() => assert(false, 'I1')).toThrow(AssertionError);
    expect(() => assert(true, 'I1')).not.toThrow();
  });
});

describe('Env', () => {
  it('is the same at every run when it is fixed', () => {
    const make = () => fixedEnv({ start: { sec: -1, nsec: 999_999_000 }, tickNs: 1500, seed: 3 });
    const env = make();
    expect([env.now(), env.now()]).toEqual([
      { sec: -1, nsec: 999_999_000 },
      { sec: 0, nsec: 500 },
    ]);
    expect(env.uuid()).toEqual(make().uuid());
    expect(env.uuid()).not.toEqual(env.uuid());
  });

  it('is the real world otherwise', () => {
    const env = systemEnv();
    expect(Math.abs(env.now().sec * 1000 - Date.now())).toBeLessThan(5000);
    const bytes = new Uint8Array(100_000);
    env.random(bytes);
    expect(new Set(bytes).size).toBe(256);
    expect((env.uuid()[6] ?? 0) & 0xf0).toBe(0x40);
  });
});

describe('SeededRandom', () => {
  it('repeats itself, stays in range and covers it', () => {
    const a = new SeededRandom(7);
    const b = new SeededRandom(7);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const n = a.below(10);
      expect(n).toBe(b.below(10));
      counts[n] = (counts[n] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(a.shuffle([1, 2, 3, 4, 5]).sort()).toEqual([1, 2, 3, 4, 5]);
    expect(() => a.pick([])).toThrow(RangeError);
  });
});

describe('units', () => {
  it('do not lose bits above 2**32', () => {
    const big = 2 ** 40 + 5;
    expect([roundDown(big, 4096), roundUp(big, 4096)]).toEqual([2 ** 40, 2 ** 40 + 4096]);
    expect([divFloor(big, 4096), divCeil(big, 4096)]).toEqual([2 ** 28, 2 ** 28 + 1]);
    expect([1, 2, 2 ** 40].every(isPowerOfTwo)).toBe(true);
    expect([0, 3, -2, 0.5, 2 ** 40 + 1, Number.NaN].some(isPowerOfTwo)).toBe(false);
  });
});
