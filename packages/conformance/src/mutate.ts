/**
 * The image mutator: turns a sound image into a hostile one, the same one for the same seed.
 *
 * Kinds of damage: random bits, random fields of known structures, pointers that make loops or share blocks, huge counts,
 * lost or overwritten sectors, blocks that changed places, structures copied over others, truncated images. A mutant gets one to four of them.
 */
import type { StructureField, StructurePlace } from './driver.js';
import { random, type Random } from './random.js';

export type MutationKind =
  | 'bit'
  | 'byte'
  | 'field'
  | 'huge'
  | 'loop'
  | 'alias'
  | 'copy'
  | 'zero'
  | 'garbage'
  | 'swap'
  | 'truncate';

export const MUTATION_KINDS: readonly MutationKind[] = [
  'bit', 'byte', 'field', 'huge', 'loop', 'alias', 'copy', 'zero', 'garbage', 'swap', 'truncate',
];

export interface MutateOptions {
  readonly kinds?: readonly MutationKind[];
  /** Where the structures are; without them only blind damage is done. */
  readonly structures?: readonly StructurePlace[];
  /** Bytes; for pointers and for damage by the block. */
  readonly blockSize: number;
  /** How many changes at most. Default 4. */
  readonly changesMax?: number;
}

export interface Mutation {
  readonly seed: number;
  /** What was done, for messages: "loop inode.i_block[12] at 71680: 91 -> 70". */
  readonly changes: readonly string[];
  readonly kinds: readonly MutationKind[];
  /** How much of the image is left, in bytes. */
  readonly sizeBytes: number;
}

interface Context {
  readonly bytes: Uint8Array;
  readonly random: Random;
  readonly options: MutateOptions;
  readonly byKind: ReadonlyMap<string, readonly StructurePlace[]>;
}

/** Structures by kind, so that the one superblock is met as often as a thousand inodes. */
function groupByKind(structures: readonly StructurePlace[]): Map<string, StructurePlace[]> {
  const groups = new Map<string, StructurePlace[]>();
  for (const place of structures) {
    const group = groups.get(place.kind);
    if (group === undefined) groups.set(place.kind, [place]);
    else group.push(place);
  }
  return groups;
}

const groupsOf = new WeakMap<readonly StructurePlace[], Map<string, StructurePlace[]>>();

function pickPlace(context: Context): StructurePlace | undefined {
  const kinds = [...context.byKind.keys()];
  if (kinds.length === 0) return undefined;
  return context.random.pick(context.byKind.get(context.random.pick(kinds)) ?? []);
}

/** An integer field of the structure, as a rule; `undefined` when it has none. */
function pickField(context: Context, place: StructurePlace): StructureField | undefined {
  const fields = place.fields.filter((field) => field.sizeBytes <= 8 && place.pos + field.offset + field.sizeBytes <= context.bytes.length);
  return fields.length === 0 ? undefined : context.random.pick(fields);
}

function readField(context: Context, place: StructurePlace, field: StructureField): number {
  let value = 0;
  for (let i = 0; i < field.sizeBytes; i++) {
    const at = place.pos + field.offset + (place.littleEndian ? field.sizeBytes - 1 - i : i);
    value = value * 256 + (context.bytes[at] ?? 0);
  }
  return value;
}

function writeField(context: Context, place: StructurePlace, field: StructureField, value: number): void {
  let rest = value;
  for (let i = 0; i < field.sizeBytes; i++) {
    const at = place.pos + field.offset + (place.littleEndian ? i : field.sizeBytes - 1 - i);
    context.bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** Sets a field of a random structure to what `choose` says and describes it. */
function changeField(
  context: Context,
  label: MutationKind,
  choose: (old: number, limit: number, place: StructurePlace, field: StructureField) => number,
): string | undefined {
  const place = pickPlace(context);
  const field = place === undefined ? undefined : pickField(context, place);
  if (place === undefined || field === undefined) return undefined;
  const old = readField(context, place, field);
  const limit = 2 ** Math.min(53, field.sizeBytes * 8);
  const value = Math.max(0, Math.min(limit - 1, Math.floor(choose(old, limit, place, field))));
  if (value === old) return undefined;
  writeField(context, place, field, value);
  return `${label} ${place.kind}.${field.name} at ${place.pos + field.offset}: ${old} -> ${value}`;
}

/** A value that finds missing checks: edges, neighbours, powers of two, noise. */
function nastyValue(r: Random, old: number, limit: number): number {
  switch (r.below(9)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return limit - 1;
    case 3:
      return limit / 2;
    case 4:
      return old + 1;
    case 5:
      return old - 1;
    case 6:
      return 2 ** r.below(Math.log2(limit));
    case 7:
      return old * 2 ** r.between(1, 8);
    default:
      return r.below(limit);
  }
}

/** A position that matters: inside a structure most of the time, anywhere else otherwise. */
function pickPos(context: Context): number {
  const { random: r, bytes } = context;
  const place = r.chance(0.8) ? pickPlace(context) : undefined;
  const field = place === undefined ? undefined : r.pick(place.fields);
  if (place === undefined || field === undefined) return r.below(bytes.length);
  return Math.min(bytes.length - 1, place.pos + field.offset + r.below(field.sizeBytes));
}

function copyStructure(context: Context): string | undefined {
  const place = pickPlace(context);
  const other = place === undefined ? undefined : context.random.pick(context.byKind.get(place.kind) ?? []);
  if (place === undefined || other === undefined || other.pos === place.pos) return undefined;
  const size = Math.max(...place.fields.map((field) => field.offset + field.sizeBytes));
  if (Math.max(place.pos, other.pos) + size > context.bytes.length) return undefined;
  context.bytes.copyWithin(place.pos, other.pos, other.pos + size);
  return `copy ${place.kind} from ${other.pos} to ${place.pos}`;
}

/** The start of a block that holds a structure, or of any block. */
function pickBlock(context: Context): number {
  const { blockSize } = context.options;
  const pos = pickPos(context);
  return pos - (pos % blockSize);
}

function damageBlock(context: Context, kind: 'zero' | 'garbage' | 'swap'): string {
  const { bytes, random: r, options } = context;
  const start = pickBlock(context);
  const size = r.chance(0.5) ? Math.min(512, options.blockSize) : options.blockSize;
  const part = bytes.subarray(start, Math.min(bytes.length, start + size));
  if (kind === 'swap') {
    const other = pickBlock(context);
    const target = bytes.subarray(other, Math.min(bytes.length, other + part.length));
    const kept = part.slice(0, target.length);
    part.set(target.subarray(0, kept.length));
    target.set(kept);
    return `swap ${kept.length} bytes at ${start} and ${other}`;
  }
  if (kind === 'zero') part.fill(r.chance(0.7) ? 0 : 0xff);
  else r.fill(part);
  return `${kind} ${part.length} bytes at ${start}`;
}

function applyKind(context: Context, kind: MutationKind): string | undefined {
  const { random: r, bytes, options } = context;
  switch (kind) {
    case 'bit': {
      const pos = pickPos(context);
      const bit = r.below(8);
      bytes[pos] = (bytes[pos] ?? 0) ^ (1 << bit);
      return `bit ${bit} at ${pos}`;
    }
    case 'byte': {
      const pos = pickPos(context);
      bytes[pos] = r.below(256);
      return `byte at ${pos}`;
    }
    case 'field':
      return changeField(context, kind, (old, limit) => nastyValue(r, old, limit));
    case 'huge':
      return changeField(context, kind, (_old, limit) => limit - 1 - (r.chance(0.5) ? 0 : r.below(limit / 2)));
    case 'loop':
      // The block that holds the structure itself, or one of another structure: loops in indirect blocks.
      return changeField(context, kind, (_old, _limit, place) => {
        const target = r.chance(0.5) ? place : (pickPlace(context) ?? place);
        return target.pos / options.blockSize;
      });
    case 'alias':
      // The same field elsewhere: a directory inside itself, a block in two files, an inode in two places.
      return changeField(context, kind, (old, _limit, place, field) => {
        const other = r.pick(context.byKind.get(place.kind) ?? [place]);
        const pick = r.chance(0.5) ? field : (pickField(context, other) ?? field);
        const value = other.pos + pick.offset + pick.sizeBytes <= bytes.length ? readField(context, other, pick) : old;
        return value;
      });
    case 'copy':
      return copyStructure(context);
    case 'zero':
    case 'garbage':
    case 'swap':
      return damageBlock(context, kind);
    case 'truncate':
      return undefined;
  }
}

/** Damages `bytes` in place (give it a copy). */
export function mutateImage(bytes: Uint8Array, seed: number, options: MutateOptions): Mutation {
  const r = random(seed);
  const structures = options.structures ?? [];
  let byKind = groupsOf.get(structures);
  if (byKind === undefined) {
    byKind = groupByKind(structures);
    groupsOf.set(structures, byKind);
  }
  const context: Context = { bytes, random: r, options, byKind };
  const kinds = options.kinds ?? MUTATION_KINDS;
  const changes: string[] = [];
  const done: MutationKind[] = [];
  let sizeBytes = bytes.length;
  const wanted = kinds.length === 0 ? 0 : r.chance(0.6) ? 1 : r.between(1, options.changesMax ?? 4);
  for (let tries = 0; changes.length < wanted && tries < 50; tries++) {
    const kind = r.pick(kinds);
    if (kind === 'truncate') {
      // Rarer than the others: a short image is refused early.
      if (!r.chance(0.3)) continue;
      const cut = r.below(bytes.length);
      sizeBytes = cut - (cut % (r.chance(0.5) ? 512 : options.blockSize));
      changes.push(`truncate to ${sizeBytes}`);
      done.push(kind);
      continue;
    }
    const change = applyKind(context, kind);
    if (change === undefined) continue;
    changes.push(change);
    done.push(kind);
  }
  return { seed, changes, kinds: done, sizeBytes };
}

/** A struct table's field list as `StructurePlace.fields`; arrays give one field an element. */
export function fieldsOf(layout: {
  readonly fields: readonly { readonly name: string; readonly offset: number; readonly length: number; readonly count: number }[];
}): StructureField[] {
  const fields: StructureField[] = [];
  for (const { name, offset, length, count } of layout.fields) {
    const sizeBytes = length / count;
    for (let i = 0; i < count; i++) {
      fields.push({ name: count === 1 ? name : `${name}[${i}]`, offset: offset + i * sizeBytes, sizeBytes });
    }
  }
  return fields;
}
