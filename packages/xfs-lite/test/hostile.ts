/**
 * Hostile XFS images. A mutant is a base image under an overlay: small changes to its metadata, with the checksums of the blocks
 * they fall into put right for half of them, so that the checks of structure are met and not only those of sums.
 */
import { exerciseFs, random, scratchDir, removeScratch, withLoopMount, type Random } from '@iomap/conformance';
import { memoryDeviceFrom, overlayDevice, type BlockDevice } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { putSum } from '../src/crc32c.js';
import { check, mount } from '../src/index.js';
import { makeDirty } from './dirty.js';
import { mkfsXfs } from './driver.js';
import { populate } from './populate.js';

export interface Base {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Byte positions of metadata: blocks with a magic number that we know, and how long they are. */
  readonly blocks: readonly Place[];
}

interface Place {
  readonly pos: number;
  readonly length: number;
  /** Where the checksum is; -1 = none. */
  readonly crc: number;
  readonly kind: string;
}

const MAGIC32: ReadonlyMap<number, readonly [kind: string, crc: number]> = new Map([
  [0x5841_4746, ['agf', 216]],
  [0x5841_4749, ['agi', 312]],
  [0x5841_464c, ['agfl', 32]],
  [0x5844_4233, ['dir block', 4]],
  [0x5844_4433, ['dir data', 4]],
  [0x5844_4633, ['dir free', 4]],
  [0x424d_4133, ['bmbt', 64]],
  [0x4142_3342, ['bnobt', 52]],
  [0x4941_4233, ['inobt', 52]],
  [0x524d_4233, ['rmapbt', 52]],
  [0x5233_4643, ['refcountbt', 52]],
  [0x5841_524d, ['attr remote', 12]],
  [0x5853_4c4d, ['symlink', 12]],
]);
const MAGIC16: ReadonlyMap<number, string> = new Map([
  [0x3ebe, 'da node'],
  [0x3df1, 'dir leaf1'],
  [0x3dff, 'dir leafn'],
  [0x3bee, 'attr leaf'],
]);

/** Finds metadata by magic number: good enough to aim at. */
function findBlocks(bytes: Uint8Array, blockSize: number, dirBlockSize: number, inodeSize: number): Place[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Place[] = [{ pos: 0, length: 512, crc: 224, kind: 'superblock' }];
  for (let pos = 512; pos < bytes.length; pos += 512) {
    const magic = view.getUint32(pos);
    if (magic === 0) continue;
    if (magic === 0xfeed_babe) {
      found.push({ pos, length: 512, crc: -1, kind: 'log record' }, { pos: pos + 512, length: 4096, crc: -1, kind: 'log data' });
      continue;
    }
    const known = MAGIC32.get(magic);
    if (known !== undefined) {
      const isHeader = known[0].startsWith('ag');
      const length = isHeader ? 512 : known[0].startsWith('dir') ? dirBlockSize : blockSize;
      if (isHeader || pos % blockSize === 0) found.push({ pos, length, crc: known[1], kind: known[0] });
    } else if (magic >>> 16 === 0x494e && pos % inodeSize === 0) {
      if (view.getUint16(pos + 2) !== 0) found.push({ pos, length: inodeSize, crc: 100, kind: 'inode' });
    } else if (pos % blockSize === 0) {
      const kind = MAGIC16.get(view.getUint16(pos + 8));
      if (kind !== undefined) found.push({ pos, length: kind.startsWith('dir') || kind === 'da node' ? dirBlockSize : blockSize, crc: 12, kind });
    }
  }
  return found;
}

function load(image: string, name: string, args: readonly string[]): Base {
  const bytes = new Uint8Array(readFileSync(image));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blockSize = view.getUint32(4);
  void args;
  return { name, bytes, blocks: findBlocks(bytes, blockSize, blockSize * 2 ** view.getUint8(192), view.getUint16(104)) };
}

/** Small images of every form, clean and with a dirty log. */
export function makeBases(): Base[] {
  const dir = scratchDir('iomap-xfs');
  try {
    const bases: Base[] = [];
    const image = join(dir, 'image');
    for (const [name, args] of [
      ['1k', ['--unsupported', '-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=2', '-l', 'size=6m']],
      ['4k', ['--unsupported', '-d', 'agcount=2', '-i', 'nrext64=1', '-l', 'size=16m']],
    ] as const) {
      mkfsXfs(image, 64 * 2 ** 20, args);
      const blockSize = name === '1k' ? 1024 : 4096;
      withLoopMount(image, { type: 'xfs' }, (mounted) => populate(mounted, { blockSize, reflink: true, names: [3, 60, 700], extents: 500, xattrs: 100, small: true }));
      bases.push(load(image, name, args));
    }
    const args = ['--unsupported', '-b', 'size=1024', '-l', 'size=6m'];
    makeDirty(image, { seed: 11, args, ops: 120, sizeBytes: 64 * 2 ** 20, flushLog: true });
    bases.push(load(image, 'dirty', args));
    return bases;
  } finally {
    removeScratch(dir);
  }
}

export interface Outcome {
  readonly failures: string[];
  readonly outcomes: Record<string, number>;
  slowestMs: number;
  totalMs: number;
  mutants: number;
}

const NASTY = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff];

function mutate(r: Random, place: Place, bytes: Uint8Array): string {
  const at = r.below(place.kind === 'log data' ? place.length : Math.min(place.length, r.below(3) === 0 ? place.length : 200));
  const width = Math.min([1, 2, 4, 8][r.below(4)] ?? 1, place.length - at);
  const before = Buffer.from(bytes.subarray(at, at + width)).toString('hex');
  switch (r.below(5)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << r.below(8));
      break;
    case 1:
      bytes.fill(r.below(2) === 0 ? 0 : 0xff, at, at + width);
      break;
    case 2:
      for (let i = 0; i < width; i++) bytes[at + i] = r.below(256);
      break;
    case 3:
      bytes[at + width - 1] = ((bytes[at + width - 1] ?? 0) + r.below(5) - 2) & 0xff;
      break;
    default:
      bytes[at] = NASTY[r.below(NASTY.length)] ?? 0;
  }
  return `${place.kind} at ${place.pos}+${at}: ${before} -> ${Buffer.from(bytes.subarray(at, at + width)).toString('hex')}`;
}

/** Log records carry a sum over themselves that a mutant cannot put right by block: theirs is taken away where nobody asks for it. */
export function makeMutant(base: Base, device: BlockDevice, r: Random): string[] {
  const kinds = [...new Set(base.blocks.map(({ kind }) => kind))];
  const changes: string[] = [];
  const fix = r.below(2) === 0;
  for (let n = 1 + r.below(3); n > 0; n--) {
    const kind = r.pick(kinds);
    const place = r.pick(base.blocks.filter((one) => one.kind === kind));
    const end = Math.min(base.bytes.length, place.pos + place.length);
    const bytes = base.bytes.slice(place.pos, end);
    changes.push(mutate(r, { ...place, length: bytes.length }, bytes));
    if (r.below(6) === 0) {
      const other = r.pick(base.blocks.filter((one) => one.kind === kind));
      bytes.set(base.bytes.subarray(other.pos, other.pos + bytes.length));
      changes.push(`${kind} at ${place.pos} is a copy of ${other.pos}`);
    }
    if (fix && place.crc >= 0 && bytes.length > place.crc + 4) putSum(bytes, 0, bytes.length, place.crc);
    void device.submit({ op: 'write', pos: place.pos, segments: [bytes], lengthBytes: bytes.length });
  }
  return changes;
}

/** Mounts, walks and reads mutants of `bases`, one for each seed. */
export function runMutants(bases: readonly Base[], seed: number, count: number, note: (index: number) => void = () => undefined, stop: () => boolean = () => false): Outcome {
  const result: Outcome = { failures: [], outcomes: {}, slowestMs: 0, totalMs: 0, mutants: 0 };
  const devices = bases.map((base) => memoryDeviceFrom(base.bytes));
  const tell = (stage: string, error: unknown, changes: readonly string[], at: number): void => {
    const code = error instanceof FsError ? error.code : 'BUG';
    const key = `${stage} ${code}`;
    result.outcomes[key] = (result.outcomes[key] ?? 0) + 1;
    if (code === 'BUG') result.failures.push(`seed ${at}: ${stage}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n  ${changes.join('\n  ')}`);
  };
  for (let index = 0; index < count && result.failures.length < 20 && !stop(); index++) {
    const at = seed + index;
    note(at);
    const r = random(at);
    const which = r.below(bases.length);
    const base = bases[which];
    const under = devices[which];
    if (base === undefined || under === undefined) continue;
    const device = overlayDevice(under);
    const changes = makeMutant(base, device, r);
    const start = performance.now();
    try {
      const fs = runSync(mount(device, { bufferCacheBytes: 2 ** 20, pageCacheBytes: 2 ** 20 }));
      result.outcomes['mount ok'] = (result.outcomes['mount ok'] ?? 0) + 1;
      runSync(exerciseFs(fs, (stage, error) => tell(stage, error, changes, at)));
      runSync(fs.unmount());
      if (at % 8 === 0) {
        const verdict = runSync(check(device)).clean ? 'check clean' : 'check found';
        result.outcomes[verdict] = (result.outcomes[verdict] ?? 0) + 1;
      }
    } catch (error) {
      tell('mount', error, changes, at);
    }
    const ms = performance.now() - start;
    result.slowestMs = Math.max(result.slowestMs, ms);
    result.totalMs += ms;
    if (ms > 10_000) result.failures.push(`seed ${at}: ${ms.toFixed(0)} ms\n  ${changes.join('\n  ')}`);
    result.mutants++;
  }
  return result;
}
