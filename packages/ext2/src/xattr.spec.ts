import fc from 'fast-check';
import { chmodAcl, decodeDiskAcl, decodeWireAcl, encodeDiskAcl, encodeWireAcl, modeOfAcl } from './acl.js';
import {
  blockHash,
  decodeIbody,
  decodeXattrBlock,
  encodeIbody,
  encodeXattrBlock,
  entryHash,
  fitsBlock,
  fitsIbody,
  type XattrItem,
} from './xattr-codec.js';

const text = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));
const name = fc.string({ minLength: 1, maxLength: 20, unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)) });
const item = fc.record({ index: fc.constantFrom(1, 2, 4, 6), name, value: fc.uint8Array({ maxLength: 40 }) });
const items = fc.uniqueArray(item, { maxLength: 6, selector: (one) => `${one.index} ${one.name}` });
const byName = (list: readonly XattrItem[]): Map<string, number[]> =>
  new Map(list.map((one) => [`${one.index} ${one.name}`, [...one.value]]));

describe('xattr codec', () => {
  it('brings attributes back from an inode’s area and from a block', () => {
    fc.assert(
      fc.property(items, (list) => {
        if (fitsIbody(list, 512)) expect(byName(decodeIbody(encodeIbody(list, 512)))).toEqual(byName(list));
        if (fitsBlock(list, 1024)) expect(byName(decodeXattrBlock(encodeXattrBlock(list, 1024).bytes))).toEqual(byName(list));
      }),
      { numRuns: 300 },
    );
  });

  it('never fails but with EUCLEAN on bytes from anywhere', () => {
    const list: XattrItem[] = [{ index: 1, name: 'a', value: text('hello') }, { index: 6, name: 'selinux', value: text('x'.repeat(30)) }];
    const sound = encodeXattrBlock(list, 1024).bytes;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = sound.slice();
        for (const [at, value] of changes) bytes[at] = value;
        try {
          decodeXattrBlock(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'EUCLEAN' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('hashes as Linux does', () => {
    // user.a = "hello": name 'a' is 0x61; the value is two words.
    const hash = entryHash({ index: 1, name: 'a', value: text('hello') });
    const rot16 = (x: number): number => ((x << 16) | (x >>> 16)) >>> 0;
    expect(hash).toBe((rot16((rot16(0x61) ^ 0x6c6c6568) >>> 0) ^ 0x6f) >>> 0);
    expect(blockHash([hash])).toBe(hash);
    expect(blockHash([hash, 0])).toBe(0);
  });
});

describe('POSIX ACLs', () => {
  const full = [
    { tag: 1, perm: 6, id: 0xffff_ffff },
    { tag: 2, perm: 4, id: 1000 },
    { tag: 4, perm: 4, id: 0xffff_ffff },
    { tag: 8, perm: 7, id: 2000 },
    { tag: 0x10, perm: 5, id: 0xffff_ffff },
    { tag: 0x20, perm: 0, id: 0xffff_ffff },
  ];

  it('turn from the wire form into the stored one and back', () => {
    expect(decodeWireAcl(encodeWireAcl(full))).toEqual(full);
    expect(decodeDiskAcl(encodeDiskAcl(full))).toEqual(full);
    expect(encodeDiskAcl(full).length).toBe(4 + 4 * 4 + 2 * 8);
    expect(encodeWireAcl(full).length).toBe(4 + 6 * 8);
  });

  it('say the mode, and follow a chmod', () => {
    expect(modeOfAcl(full)).toEqual({ bits: 0o650, isMinimal: false });
    expect(modeOfAcl(full.filter(({ tag }) => [1, 4, 0x20].includes(tag)))).toEqual({ bits: 0o640, isMinimal: true });
    expect(modeOfAcl(chmodAcl(full, 0o713)).bits).toBe(0o713);
    expect(() => modeOfAcl(full.slice(0, 2))).toThrow(/EINVAL/);
  });

  it('are refused when malformed', () => {
    expect(() => decodeDiskAcl(Uint8Array.of(1, 0, 0, 0, 2, 0, 4, 0))).toThrow(/EUCLEAN/);
    expect(() => decodeWireAcl(Uint8Array.of(2, 0, 0, 0, 2, 0))).toThrow(/EINVAL/);
  });
});
