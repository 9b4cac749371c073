import { execFileSync } from 'node:child_process';
import { dxHash } from './hash.js';

const SEED = '01020304-0506-0708-090a-0b0c0d0e0f10';
const seedWords = [0x04030201, 0x08070605, 0x0c0b0a09, 0x100f0e0d];
const zero = [0, 0, 0, 0];

const debugfsHash = (kind: string, name: string, seed?: string): { hash: number; minor: number } => {
  const args = ['-R', `dx_hash -h ${kind}${seed === undefined ? '' : ` -s ${seed}`} ${name}`];
  const text = execFileSync('debugfs', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const match = /is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)/.exec(text);
  return { hash: Number.parseInt(match?.[1] ?? '', 16), minor: Number.parseInt(match?.[2] ?? '', 16) };
};

describe('dxHash', () => {
  it('gives the values known of half-MD4, TEA and legacy', () => {
    expect(dxHash('a', 1, seedWords)).toEqual({ hash: 0x8d08ec4c, minor: 0x2fbccd78 });
    expect(dxHash('hello', 2, seedWords)).toEqual({ hash: 0x1a5692b6, minor: 0x2fd9857d });
    expect(dxHash('hello', 0, seedWords)).toEqual({ hash: 0x32252546, minor: 0 });
    expect(dxHash('hello_world_this_is_a_long_name_beyond_32_bytes', 1, zero)?.hash).toBe(0x82da7c1e);
  });

  it('agrees with debugfs on lengths around the packing steps', () => {
    for (const kind of ['legacy', 'half_md4', 'tea']) {
      const version = ['legacy', 'half_md4', 'tea'].indexOf(kind);
      for (const length of [1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 65, 254, 255]) {
        const name = Array.from({ length }, (_, i) => String.fromCharCode(97 + ((i * 7 + length) % 26))).join('');
        expect({ name, ...dxHash(name, version, seedWords) }).toEqual({ name, ...debugfsHash(kind, name, SEED) });
      }
    }
  });

  it('tells signed from unsigned characters', () => {
    const name = 'caf\u00e9';
    expect(dxHash(name, 1, zero)).not.toEqual(dxHash(name, 4, zero));
    expect(dxHash('cafe', 1, zero)).toEqual(dxHash('cafe', 4, zero));
    expect(dxHash('a', 9, zero)).toBeUndefined();
  });
});
