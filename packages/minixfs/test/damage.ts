/**
 * Damaged images and what repair makes of them: each must be clean to our check and to fsck.minix, and no file may be lost whose
 * inode and data were whole.
 */
import { imageDevice, mutateImage, oracle, removeScratch, scratchDir, writeImage, type HostileBase } from '@iomap/conformance';
import { applyUndo } from '@iomap/block-map';
import { fixedEnv, FsError, runSync, type Io } from '@iomap/io';
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { mount, readSuper, repair } from '../src/index.js';
import { CheckedImage, hasZones } from '../src/check/image.js';
import { findBitOrder } from '../src/bit-order.js';
import type { SliceResult } from './soak.js';

export interface DamageSlice {
  readonly seed: number;
  readonly count: number;
  readonly bases: readonly HostileBase[];
  /** Can fsck.minix read the base? */
  readonly isJudged: (base: HostileBase) => boolean;
  readonly note?: (seed: number) => void;
  readonly stop?: () => boolean;
}

export interface DamageResult extends SliceResult {
  /** Images that fsck.minix judged, and of those how many it found clean after the repair. */
  readonly judged: number;
  readonly clean: number;
  /** Files that were whole before the repair. */
  readonly whole: number;
  readonly lost: number;
}

/** A file of a base: what it is, and the parts of the image that it consists of. */
interface Known {
  readonly key: string;
  readonly parts: readonly { readonly pos: number; readonly bytes: number }[];
}

const keyOf = (type: number, size: number, content: Uint8Array): string =>
  `${type.toString(8)} ${size} ${createHash('sha1').update(content).digest('hex')}`;

/** Every file and link of an image that mounts, by inode. */
function* filesOf(bytes: Uint8Array): Io<Map<number, string>> {
  const fs = yield* mount(imageDevice(bytes, { readOnly: true }), { env: fixedEnv(), readOnly: true });
  const found = new Map<number, string>();
  const todo = [fs.rootIno];
  const seen = new Set(todo);
  for (let ino = todo.pop(); ino !== undefined; ino = todo.pop()) {
    const inode = yield* fs.readInode(ino);
    if (inode.isDirectory) {
      yield* fs.readdir(inode, 0, (name, to) => {
        if (name !== '.' && name !== '..' && !seen.has(to)) {
          seen.add(to);
          todo.push(to);
        }
        return true;
      });
    } else if (inode.isFile) {
      // The content up to a bound: holes make files of gigabytes.
      const content = new Uint8Array(Math.min(inode.size, 300_000));
      for (let done = 0; done < content.length; ) done += yield* fs.read(inode, done, content.subarray(done));
      found.set(ino, keyOf(inode.mode, inode.size, content));
    } else if (inode.hasBlockMap()) {
      found.set(ino, keyOf(inode.mode, inode.size, yield* fs.readlink(inode)));
    } else {
      found.set(ino, `${inode.mode.toString(8)} ${inode.rdev}`);
    }
  }
  return found;
}

function* knownFiles(bytes: Uint8Array): Io<Known[]> {
  const device = imageDevice(bytes, { readOnly: true });
  const info = yield* readSuper(device);
  const image = new CheckedImage(device, info, yield* findBitOrder(device, info));
  const known: Known[] = [];
  for (const [ino, key] of yield* filesOf(bytes)) {
    const inode = yield* image.inode(ino);
    const place = image.inodePlace(ino);
    const parts = [{ pos: place.block * info.blockSize + place.at, bytes: info.inodeSize }];
    const add = function* (zone: number, depth: number): Io<void> {
      if (zone === 0) return;
      parts.push({ pos: zone * info.zoneSize, bytes: info.zoneSize });
      if (depth === 0) return;
      const buf = yield* image.zoneBlock(zone);
      for (let i = 0; i < image.perBlock; i++) yield* add(image.pointer(buf, i), depth - 1);
    };
    if (hasZones(inode)) for (let i = 0; i < inode.zones.length; i++) yield* add(inode.zones[i] ?? 0, Math.max(0, i - 6));
    known.push({ key, parts });
  }
  return known;
}

const tallyOf = (keys: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
};

/** Damages, repairs and judges `count` images. */
export function damageSlice(slice: DamageSlice): DamageResult {
  const dir = scratchDir('iomap-damage');
  const failures: { message: string; seed: number }[] = [];
  const tally: Record<string, number> = {};
  const totals = { done: 0, judged: 0, clean: 0, whole: 0, lost: 0 };
  const known = new Map(slice.bases.map((base) => [base, runSync(knownFiles(base.bytes))]));
  try {
    for (let n = 0; n < slice.count && slice.stop?.() !== true; n++) {
      const seed = slice.seed + n;
      slice.note?.(seed);
      const base = slice.bases[seed % slice.bases.length];
      if (base === undefined) break;
      totals.done++;
      const problem = one(dir, base, seed, { isJudged: slice.isJudged(base), known: known.get(base) ?? [], totals, tally });
      if (problem !== undefined && failures.length < 50) failures.push({ seed, message: `${base.name}, seed ${seed}: ${problem}` });
    }
  } finally {
    removeScratch(dir);
  }
  return { ...totals, tally, failures };
}

interface Context {
  readonly isJudged: boolean;
  readonly known: readonly Known[];
  readonly totals: { judged: number; clean: number; whole: number; lost: number };
  readonly tally: Record<string, number>;
}

/** One damaged image; the answer is what went wrong. */
function one(dir: string, base: HostileBase, seed: number, context: Context): string | undefined {
  const { totals, tally } = context;
  const mutant = base.bytes.slice();
  const mutation = mutateImage(mutant, seed, { blockSize: base.blockSize, structures: base.structures });
  const bytes = mutant.slice(0, mutation.sizeBytes);
  const before = bytes.slice();
  const what = mutation.changes.join('; ');
  const count = (key: string): void => {
    tally[key] = (tally[key] ?? 0) + 1;
  };
  let undo: Uint8Array | undefined;
  let report;
  try {
    report = runSync(repair(imageDevice(bytes), { beforeWrite: (file) => (undo = file) }));
  } catch (error) {
    if (context.isJudged) totals.judged++;
    if (!(error instanceof FsError)) return `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    count(`refused ${error.code}`);
    return `${what}: refused: ${error.message}`;
  }
  count(report.fixes.length === 0 ? 'sound' : 'repaired');
  for (const code of new Set(report.fixes.map((fix) => fix.code))) count(`fix ${code}`);
  const problems: string[] = [];
  if (!report.clean) problems.push(`not clean: ${report.after.findings.slice(0, 3).map((one) => one.message).join(', ')}`);
  if (context.isJudged) {
    totals.judged++;
    const path = join(dir, 'image');
    writeImage(path, bytes);
    const verdict = oracle('fsck-minix').run(['-f', path], { timeoutMs: 15_000, outputMax: 2 ** 24 });
    rmSync(path);
    if (verdict.status === 0) totals.clean++;
    else problems.push(`fsck.minix: ${verdict.stdout} ${verdict.stderr}`);
  }
  const lost = lostFiles(bytes, before, base, context);
  if (lost !== undefined) problems.push(lost);
  if (undo !== undefined) {
    runSync(applyUndo(imageDevice(bytes), undo));
    if (Buffer.compare(bytes, before) !== 0) problems.push('the undo file does not bring the image back');
  }
  return problems.length === 0 ? undefined : `${what}: ${problems.join('\n')}\nfixes: ${report.fixes.slice(0, 12).map((fix) => `${fix.code} ${fix.ino ?? ''} ${fix.message}`).join('; ')}`;
}

/** Files that were whole in the damaged image and are not in the repaired one. */
function lostFiles(repaired: Uint8Array, damaged: Uint8Array, base: HostileBase, context: Context): string | undefined {
  const isWhole = ({ parts }: Known): boolean =>
    parts.every(({ pos, bytes }) => {
      const end = pos + bytes;
      return end <= damaged.length && Buffer.compare(damaged.subarray(pos, end), base.bytes.subarray(pos, end)) === 0;
    });
  const whole = context.known.filter(isWhole);
  context.totals.whole += whole.length;
  let after: Map<string, number>;
  try {
    after = tallyOf(runSync(filesOf(repaired)).values());
  } catch (error) {
    context.totals.lost += whole.length;
    return `cannot be read: ${String(error)}`;
  }
  let lost = 0;
  for (const [key, wanted] of tallyOf(whole.map((one) => one.key))) lost += Math.max(0, wanted - (after.get(key) ?? 0));
  context.totals.lost += lost;
  return lost === 0 ? undefined : `${lost} whole files are lost`;
}
