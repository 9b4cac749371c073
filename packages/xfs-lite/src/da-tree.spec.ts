import { daHash, daHashCi, lowerBound, sameNameCi } from './da-tree.js';

describe('the hash of names', () => {
  it('is the kernel\'s', () => {
    // As xfs_db's `hash` prints them.
    expect(daHash('')).toBe(0);
    expect(daHash('a')).toBe(0x61);
    expect(daHash('..')).toBe(0x172e);
    expect(daHash('lost+found')).toBe(0x21aa60c);
  });

  it('ignores the case of ASCII letters where the filesystem does', () => {
    expect(daHashCi('ABC')).toBe(daHash('abc'));
    expect(sameNameCi('ReadMe', 'README')).toBe(true);
    expect(sameNameCi('a\xe4', 'A\xc4')).toBe(false);
  });

  it('finds the first of equal entries', () => {
    const view = new DataView(new ArrayBuffer(64));
    [1, 5, 5, 5, 9].forEach((hash, i) => {
      view.setUint32(8 + i * 8, hash);
    });
    expect([0, 1, 2, 5, 6, 9, 10].map((hash) => lowerBound(new Uint8Array(view.buffer), 8, 5, hash))).toEqual([0, 0, 1, 1, 4, 4, 5]);
  });
});
