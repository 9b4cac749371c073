/** Mutants judged twice: by our check and by `xfs_repair -n`. */
import { oracle, removeScratch, scratchDir } from '@iomap/conformance';
import { memoryDeviceFrom } from '@iomap/block-device';
import { FsError, runSync } from '@iomap/io';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../src/index.js';
import type { Base } from './hostile-bases.js';
import { mutantDevice, type Write } from './hostile.js';

export interface Judgement {
  judged: number;
  /** The tool crashed, or took longer than 30 s: not judged. */
  toolFailed: number;
  /** The tool found damage; so did we; both said the same. */
  damaged: number;
  found: number;
  agreed: number;
  readonly disagreements: { readonly seed: number; readonly kind: 'missed' | 'extra'; readonly base: string; readonly changes: readonly string[]; readonly said: string }[];
}

/** What our check says: undefined = clean, else its first findings. */
function ourVerdict(device: Parameters<typeof check>[0]): string | undefined {
  try {
    const { clean, findings } = runSync(check(device));
    return clean ? undefined : findings.filter(({ severity }) => severity === 'error').slice(0, 3).map(({ structure, code, message }) => `${structure} ${code}: ${message}`).join('\n    ');
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.message;
  }
}

/** The image of one base as a file: mutants are written into it and taken back. */
class BaseFile {
  readonly path: string;
  readonly #fd: number;
  readonly #bytes: Uint8Array;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.#bytes = bytes;
    this.#fd = openSync(path, 'w+');
    ftruncateSync(this.#fd, bytes.length);
    for (let pos = 0; pos < bytes.length; pos += 65_536) {
      const part = bytes.subarray(pos, pos + 65_536);
      if (part.some((byte) => byte !== 0)) writeSync(this.#fd, part, 0, part.length, pos);
    }
  }

  put(writes: readonly Write[]): void {
    for (const { pos, bytes } of writes) writeSync(this.#fd, bytes, 0, bytes.length, pos);
  }

  restore(writes: readonly Write[]): void {
    for (const { pos, bytes } of writes) writeSync(this.#fd, this.#bytes, pos, bytes.length, pos);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Judges the mutants of `count` seeds from `seed` on; clean bases only. */
export function judgeMutants(all: readonly Base[], seed: number, count: number, note: (seed: number) => void = () => undefined, stop: () => boolean = () => false): Judgement {
  const result: Judgement = { judged: 0, toolFailed: 0, damaged: 0, found: 0, agreed: 0, disagreements: [] };
  const bases = all.filter(({ isDirty }) => !isDirty);
  const dir = scratchDir('iomap-xfs');
  const files: BaseFile[] = [];
  try {
    const devices = bases.map((base) => memoryDeviceFrom(base.bytes));
    for (const [i, base] of bases.entries()) files.push(new BaseFile(join(dir, String(i)), base.bytes));
    for (let at = seed; at < seed + count && !stop(); at++) {
      note(at);
      const [base, under, file] = [bases[at % bases.length], devices[at % bases.length], files[at % bases.length]];
      if (base === undefined || under === undefined || file === undefined) break;
      const { device, mutant } = mutantDevice(base, under, at, false);
      const ours = ourVerdict(device);
      file.put(mutant.writes);
      const { status, stdout, stderr } = oracle('xfs-repair').run(['-n', file.path], { timeoutMs: 30_000 });
      file.restore(mutant.writes);
      if (status < 0) {
        result.toolFailed++;
        continue;
      }
      result.judged++;
      if (status !== 0) result.damaged++;
      if (status !== 0 && ours !== undefined) result.found++;
      if ((status !== 0) === (ours !== undefined)) result.agreed++;
      else {
        result.disagreements.push({
          seed: at, base: base.name, kind: status === 0 ? 'extra' : 'missed', changes: mutant.changes, said: ours ?? remarks(`${stderr}\n${stdout}`),
        });
      }
    }
  } finally {
    for (const file of files) file.close();
    removeScratch(dir);
  }
  return result;
}

/** What xfs_repair says without its progress. */
const remarks = (text: string): string => text.split('\n').filter((line) => line !== '' && !/^(Phase|No modify| {8}- |Cannot get host|Repair may fail|the image and the)/.test(line)).slice(0, 6).join('\n    ');
