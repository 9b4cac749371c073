/**
 * Hostile XFS images. A mutant is a base image under an overlay: small changes to its metadata, with the checksums of the blocks
 * they fall into put right for half of them, so that the checks of structure are met and not only those of sums.
 */
import { exerciseFs, fieldsOf, random, type Random } from '@iomap/conformance';
import { memoryDeviceFrom, overlayDevice, type BlockDevice } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import { putSum } from '../src/crc32c.js';
import { check, mount, readLogState } from '../src/index.js';
import { XfsAgf, XfsAgfl, XfsAgi, XfsDinode, XfsSuper } from '../src/ondisk.js';
import { RecHeader } from '../src/ondisk-log.js';
import { AttrRemote, BtreeLong, BtreeShort, Da3BlkInfo, Dir3BlkHdr, Dir3Free, SymlinkRemote } from '../src/ondisk-trees.js';
import type { Base, Place } from './hostile-bases.js';

export interface Write {
  readonly pos: number;
  readonly bytes: Uint8Array;
}

export interface Mutant {
  readonly changes: readonly string[];
  readonly writes: readonly Write[];
}

type Fields = ReturnType<typeof fieldsOf>;

const FIELDS: ReadonlyMap<string, Fields> = new Map<string, Fields>([
  ['superblock', fieldsOf(XfsSuper)],
  ['superblock copy', fieldsOf(XfsSuper)],
  ['agf', fieldsOf(XfsAgf)],
  ['agi', fieldsOf(XfsAgi)],
  ['agfl', fieldsOf(XfsAgfl)],
  ['inode', fieldsOf(XfsDinode)],
  ['free inode', fieldsOf(XfsDinode)],
  ...(['bnobt', 'cntbt', 'inobt', 'finobt', 'rmapbt', 'refcountbt'] as const).map((kind): [string, Fields] => [kind, fieldsOf(BtreeShort)]),
  ['bmbt', fieldsOf(BtreeLong)],
  ['dir block', fieldsOf(Dir3BlkHdr)],
  ['dir data', fieldsOf(Dir3BlkHdr)],
  ['dir free', fieldsOf(Dir3Free)],
  ['da node', fieldsOf(Da3BlkInfo)],
  ['dir leaf1', fieldsOf(Da3BlkInfo)],
  ['dir leafn', fieldsOf(Da3BlkInfo)],
  ['attr leaf', fieldsOf(Da3BlkInfo)],
  ['attr remote', fieldsOf(AttrRemote)],
  ['symlink', fieldsOf(SymlinkRemote)],
  ['log record', fieldsOf(RecHeader)],
]);

const NASTY = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A position where something is, as a rule: most of a block may be free. */
function usedAt(r: Random, bytes: Uint8Array, width: number): number {
  for (let tries = 0; tries < 20; tries++) {
    const at = r.below(Math.max(1, Math.floor(bytes.length / width))) * width;
    if (bytes.subarray(at, at + width).some((byte) => byte !== 0)) return at;
  }
  return r.below(Math.max(1, Math.floor(bytes.length / width))) * width;
}

/** Bytes to put in place of a number: edges, neighbours, noise. */
function nasty(r: Random, bytes: Uint8Array, at: number, width: number): void {
  const last = at + width - 1;
  switch (r.below(6)) {
    case 0:
      bytes.fill(0, at, at + width);
      break;
    case 1:
      bytes.fill(0xff, at, at + width);
      break;
    case 2:
      bytes[last] = ((bytes[last] ?? 0) + 1) & 0xff;
      break;
    case 3:
      bytes[last] = ((bytes[last] ?? 0) - 1) & 0xff;
      break;
    case 4:
      bytes[at + r.below(width)] = NASTY[r.below(NASTY.length)] ?? 0;
      break;
    default:
      for (let i = 0; i < width; i++) bytes[at + i] = r.below(256);
  }
}

function mutate(r: Random, place: Place, bytes: Uint8Array): string {
  const fields = FIELDS.get(place.kind);
  const kind = r.below(8);
  let at = r.below(r.below(3) === 0 ? bytes.length : Math.min(bytes.length, 200));
  let width = Math.min([1, 2, 4, 8][r.below(4)] ?? 1, bytes.length - at);
  let what = '';
  if (kind < 2 && fields !== undefined) {
    const field = r.pick(fields);
    at = field.offset;
    width = Math.min(field.sizeBytes, bytes.length - at);
    what = ` (${field.name})`;
  } else if (kind < 5) {
    width = [2, 4, 8][r.below(3)] ?? 4;
    at = usedAt(r, bytes, width);
  }
  const before = bytes.slice(at, at + width);
  if (kind === 4) {
    // Two numbers change places.
    const other = usedAt(r, bytes, width);
    bytes.copyWithin(at, other, other + width);
    bytes.set(before, other);
  } else if (kind === 5) {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << r.below(8));
  } else {
    nasty(r, bytes, at, width);
  }
  return `${place.kind} at ${place.pos}+${at}${what}: ${hex(before)} -> ${hex(bytes.subarray(at, at + width))}`;
}

/** Changes one to three structures. Log records carry sums that are not put right. */
export function makeMutant(base: Base, r: Random, kinds: readonly string[]): Mutant {
  const changes: string[] = [];
  const writes: Write[] = [];
  const fix = r.below(2) === 0;
  for (let n = r.below(3) === 0 ? 1 + r.below(3) : 1; n > 0; n--) {
    const kind = r.pick(kinds);
    const place = r.pick(placesOf(base, kind));
    const end = Math.min(base.bytes.length, place.pos + place.length);
    const bytes = base.bytes.slice(place.pos, end);
    if (r.below(12) === 0) {
      const other = r.pick(placesOf(base, kind));
      bytes.set(base.bytes.subarray(other.pos, other.pos + bytes.length));
      changes.push(`${kind} at ${place.pos} is a copy of ${other.pos}`);
    } else {
      changes.push(mutate(r, place, bytes));
    }
    if (fix && place.crc >= 0 && bytes.length > place.crc + 4) putSum(bytes, 0, bytes.length, place.crc);
    writes.push(wholeSectors(base, place.pos, bytes));
  }
  return { changes: fix ? [...changes, 'sums put right'] : changes, writes };
}

/** Inodes of 256 bytes are no whole sectors, which a device wants. */
function wholeSectors(base: Base, pos: number, bytes: Uint8Array): Write {
  const from = pos - (pos % 512);
  const whole = base.bytes.slice(from, Math.ceil((pos + bytes.length) / 512) * 512);
  whole.set(bytes, pos - from);
  return { pos: from, bytes: whole };
}

const known = new WeakMap<Base, Map<string, Place[]>>();

function byKind(base: Base): Map<string, Place[]> {
  let places = known.get(base);
  if (places === undefined) {
    places = new Map();
    for (const place of base.blocks) {
      const list = places.get(place.kind);
      if (list === undefined) places.set(place.kind, [place]);
      else list.push(place);
    }
    known.set(base, places);
  }
  return places;
}

const placesOf = (base: Base, kind: string): readonly Place[] => byKind(base).get(kind) ?? [];

/** Kinds of structures of a base; half of what is done to a dirty one is done to its log. */
export function kindsOf(base: Base, withLog: boolean): string[] {
  const kinds = [...byKind(base).keys()];
  const others = kinds.filter((kind) => !kind.startsWith('log'));
  if (!withLog) return others;
  return base.isDirty ? [...others, ...others.flatMap((_, i) => (i % 4 === 0 ? ['log record'] : ['log data']))] : kinds;
}

/** The mutant of a seed, as a device over the base. */
export function mutantDevice(base: Base, under: BlockDevice, seed: number, withLog: boolean): { readonly device: BlockDevice; readonly mutant: Mutant } {
  const mutant = makeMutant(base, random(seed), kindsOf(base, withLog));
  const device = overlayDevice(under);
  for (const { pos, bytes } of mutant.writes) {
    const done = device.submit({ op: 'write', pos, segments: [bytes], lengthBytes: bytes.length });
    if (done instanceof Promise || !done.ok) throw new Error(`a mutant could not be written at ${pos}`);
  }
  return { device, mutant };
}

export interface Outcome {
  readonly failures: string[];
  readonly outcomes: Record<string, number>;
  slowestMs: number;
  totalMs: number;
  mutants: number;
  /** Bytes of buffers in use, at most. */
  peakBytes: number;
}

const MS_MAX = 5000;
const BYTES_MAX = 1024 * 2 ** 20;

/** Mounts, walks, reads and checks mutants of `bases`, one for each seed. */
export function runMutants(bases: readonly Base[], seed: number, count: number, note: (index: number) => void = () => undefined, stop: () => boolean = () => false): Outcome {
  const result: Outcome = { failures: [], outcomes: {}, slowestMs: 0, totalMs: 0, mutants: 0, peakBytes: 0 };
  const devices = bases.map((base) => memoryDeviceFrom(base.bytes));
  for (let index = 0; index < count && result.failures.length < 20 && !stop(); index++) {
    const at = seed + index;
    note(at);
    const which = at % bases.length;
    const base = bases[which];
    const under = devices[which];
    if (base === undefined || under === undefined) continue;
    const { device, mutant } = mutantDevice(base, under, at, true);
    const tell = (stage: string, error: unknown): void => {
      const code = error instanceof FsError ? error.code : 'BUG';
      const key = `${stage} ${code}`;
      result.outcomes[key] = (result.outcomes[key] ?? 0) + 1;
      if (code === 'BUG') result.failures.push(`seed ${at} (${base.name}): ${stage}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n  ${mutant.changes.join('\n  ')}`);
    };
    const start = performance.now();
    // A mount reads the log too: this is the way of a look at the image without one.
    if (at % 4 === 0) lookAtLog(device, tell);
    runOne(device, result, tell);
    const ms = performance.now() - start;
    result.slowestMs = Math.max(result.slowestMs, ms);
    result.totalMs += ms;
    if (ms > MS_MAX) result.failures.push(`seed ${at} (${base.name}): ${ms.toFixed(0)} ms\n  ${mutant.changes.join('\n  ')}`);
    result.mutants++;
    if (index % 16 === 0) {
      result.peakBytes = Math.max(result.peakBytes, process.memoryUsage().arrayBuffers);
      if (result.peakBytes > BYTES_MAX) result.failures.push(`seed ${at}: ${result.peakBytes} bytes of buffers in use`);
    }
  }
  return result;
}

/** One image that differs from its base in `writes`. */
export function runWrites(base: Base, writes: readonly Write[]): Outcome {
  const result: Outcome = { failures: [], outcomes: {}, slowestMs: 0, totalMs: 0, mutants: 1, peakBytes: 0 };
  const device = overlayDevice(memoryDeviceFrom(base.bytes));
  for (const { pos, bytes } of writes) void device.submit({ op: 'write', pos, segments: [bytes], lengthBytes: bytes.length });
  runOne(device, result, (stage, error) => {
    if (!(error instanceof FsError)) result.failures.push(`${base.name}: ${stage}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
  });
  return result;
}

function lookAtLog(device: BlockDevice, tell: (stage: string, error: unknown) => void): void {
  try {
    runSync(readLogState(device));
  } catch (error) {
    tell('log', error);
  }
}

function runOne(device: BlockDevice, result: Outcome, tell: (stage: string, error: unknown) => void): void {
  const count = (key: string): void => {
    result.outcomes[key] = (result.outcomes[key] ?? 0) + 1;
  };
  try {
    const fs = runSync(mount(device, { bufferCacheBytes: 2 ** 20, pageCacheBytes: 2 ** 20 }));
    count('mount ok');
    runSync(exerciseFs(fs, tell));
    runSync(fs.unmount());
  } catch (error) {
    tell('mount', error);
  }
  try {
    count(runSync(check(device)).clean ? 'check clean' : 'check found');
  } catch (error) {
    tell('check', error);
  }
}
