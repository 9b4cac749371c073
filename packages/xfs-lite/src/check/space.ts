/**
 * Who has which blocks: runs of all owners, collected in any order, then sorted group by group. Each block must be free or somebody's,
 * once; file data may be shared where the refcount tree says so. Memory goes with the number of runs, not of blocks.
 */
import { agLength, fsbToAg, fsbToAgb, type SuperInfo } from '../super.js';
import type { Report } from './report.js';

export const OWNER_FREE = 0;
/** rmap's owners, negative; inodes are positive. */
export const OWNERS = { FS: -3, LOG: -4, AG: -5, INOBT: -6, INODES: -7, REFC: -8, COW: -9 } as const;

export interface SpaceRun {
  readonly start: number;
  readonly count: number;
  readonly owner: number;
  /** File block; 0 for owners that are no files and for blocks of trees. */
  readonly offset: number;
  /** Bits as in a record of the reverse map: 4 attribute fork, 2 block of a tree, 1 unwritten. */
  readonly flags: number;
}

export interface RefRun {
  readonly start: number;
  readonly count: number;
  readonly owners: number;
}

export class Space {
  readonly #info: SuperInfo;
  readonly #groups: SpaceRun[][];

  constructor(info: SuperInfo) {
    this.#info = info;
    this.#groups = Array.from({ length: info.agCount }, () => []);
  }

  /** In blocks of a group. */
  add(ag: number, run: SpaceRun): void {
    if (run.count > 0) this.#groups[ag]?.push(run);
  }

  addFsb(fsb: number, count: number, owner: number, offset = 0, flags = 0): void {
    this.add(fsbToAg(this.#info, fsb), { start: fsbToAgb(this.#info, fsb), count, owner, offset, flags });
  }

  #sorted(ag: number): SpaceRun[] {
    return (this.#groups[ag] ?? []).sort((a, b) => a.start - b.start || a.owner - b.owner || a.offset - b.offset);
  }

  /** Every block once. Answers what is shared by files. */
  checkGroup(ag: number, report: Report): RefRun[] {
    const runs = this.#sorted(ag);
    const length = agLength(this.#info, ag);
    let end = 0;
    let last: SpaceRun | undefined;
    for (const run of runs) {
      if (run.start > end) report.add('space', 'lost-blocks', `blocks ${end} to ${run.start - 1} are neither free nor anybody's`, { group: ag, block: end });
      if (run.start < end && last !== undefined && !(isShareable(run) && isShareable(last) && this.#info.hasReflink)) {
        report.add('space', 'blocks-twice', `block ${run.start} has owners ${last.owner} and ${run.owner}`, { group: ag, block: run.start, ...(run.owner > 0 ? { ino: run.owner } : {}) });
      }
      if (run.start + run.count > end) {
        end = run.start + run.count;
        last = run;
      }
    }
    if (end < length) report.add('space', 'lost-blocks', `blocks ${end} to ${length - 1} are neither free nor anybody's`, { group: ag, block: end });
    return this.#info.hasReflink ? sharedRuns(runs.filter(isShareable)) : [];
  }

  /** What the reverse map should say: neighbours that go on in the file too are one record. */
  expectedRmap(ag: number): SpaceRun[] {
    return mergeRuns(this.#sorted(ag).filter(({ owner }) => owner !== OWNER_FREE));
  }
}

const isShareable = ({ owner, flags }: SpaceRun): boolean => owner > 0 && (flags & 6) === 0;

/** Runs with two owners or more, by a sweep over starts and ends. */
function sharedRuns(runs: readonly SpaceRun[]): RefRun[] {
  const edges: [number, number][] = [];
  for (const { start, count } of runs) edges.push([start, 1], [start + count, -1]);
  edges.sort((a, b) => a[0] - b[0]);
  const shared: RefRun[] = [];
  let owners = 0;
  let from = 0;
  for (let i = 0; i < edges.length; ) {
    const at = edges[i]?.[0] ?? 0;
    if (owners > 1 && at > from) {
      const last = shared.at(-1);
      if (last !== undefined && last.owners === owners && last.start + last.count === from) shared.splice(-1, 1, { ...last, count: last.count + at - from });
      else shared.push({ start: from, count: at - from, owners });
    }
    for (; i < edges.length && edges[i]?.[0] === at; i++) owners += edges[i]?.[1] ?? 0;
    from = at;
  }
  return shared;
}

/** Joins neighbours of one owner, in whatever pieces they come. */
export function mergeRuns(runs: readonly SpaceRun[]): SpaceRun[] {
  const merged: SpaceRun[] = [];
  const open = new Map<string, number>();
  for (const run of [...runs].sort((a, b) => a.start - b.start || a.owner - b.owner || a.offset - b.offset)) {
    const isFile = run.owner > 0 && (run.flags & 2) === 0;
    const key = `${run.owner}:${run.flags}:${isFile ? run.offset - run.start : 0}`;
    const at = open.get(key);
    const last = at === undefined ? undefined : merged[at];
    if (at !== undefined && last !== undefined && last.start + last.count === run.start) {
      merged[at] = { ...last, count: last.count + run.count };
    } else {
      open.set(key, merged.length);
      merged.push(run);
    }
  }
  return merged;
}
