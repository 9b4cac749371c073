/** A study as text: Markdown tables of counts (the same in every run) and of times, for `conversion.md` and for the terminal. */
import { BUFFER_HEAD_BYTES, KERNEL_BUFFER_HEAD_BYTES, PAGE_BYTES } from '@iomap/buffer-head';
import type { CodeLines, DirRow, DirTimes } from './directories.js';
import type { Counts, Pair, Row, Study } from './measure.js';
import type { Home } from './mounts.js';

const MIB = 2 ** 20;

export const sizeName = (bytes: number): string => (bytes >= MIB ? `${bytes / MIB} MiB` : `${bytes / 1024} KiB`);

/** Three digits at most, and no exponent. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const pair = (counts: Pair<Counts>, of: (counts: Counts) => number): string => `${figure(of(counts.legacy))} → ${figure(of(counts.iomap))}`;

const perMib = (value: number, bytes: number): number => value / (bytes / MIB);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return `${line(head)}${line(head.map((_, i) => (i === 0 ? '---' : '---:')))}${rows.map(line).join('')}`;
}

const groupsOf = (study: Study): string[] => [...new Set(study.rows.map((row) => row.group))];

const nameOf = (row: Row): string => (row.key === 'small-write' ? 'write' : row.key === 'small-read' ? 'read' : sizeName(row.callBytes));

/**
 * What is the same in every run. A test compares it with `conversion.md`.
 * @param code lines of code of the homes of directories, where there are sources to count
 */
export function countsText(study: Study, code?: CodeLines): string {
  const parts = [`${study.format}. Each cell: legacy → iomap.\n`];
  for (const group of groupsOf(study)) {
    const rows = study.rows.filter((row) => row.group === group).map((row) => {
      const { counts } = row;
      const { bytes } = counts.legacy;
      return [
        nameOf(row),
        pair(counts, ({ mapCalls }) => perMib(mapCalls, bytes)),
        pair(counts, ({ folios }) => perMib(folios, bytes)),
        pair(counts, ({ bios }) => perMib(bios, bytes)),
        pair(counts, ({ bios, bioBytes }) => (bios === 0 ? 0 : bioBytes / bios / 1024)),
        pair(counts, ({ writeBioBytes }) => writeBioBytes / bytes),
        pair(counts, ({ deviceRequests }) => perMib(deviceRequests, bytes)),
        pair(counts, ({ stateBytes, cachedBytes }) => (cachedBytes === 0 ? 0 : perMib(stateBytes, cachedBytes))),
      ];
    });
    const head = [
      'calls of', 'mapping calls per MiB', 'folios per MiB', 'bios per MiB', 'KiB per bio', 'data written ÷ bytes of the calls', 'device requests per MiB',
      'state bytes per cached MiB',
    ];
    parts.push(`\n**${group[0]?.toUpperCase() ?? ''}${group.slice(1)}**\n\n${table(head, rows)}`);
  }
  parts.push(`\n${amplificationText(study)}`, `\n${stateText(study)}`, `\n${boundaryText(study)}`, `\n${directoryCounts(study, code)}`);
  if (study.missing.length > 0) parts.push(`\nNot measured, as the driver has no such operation: ${study.missing.join('; ')}.\n`);
  return parts.join('');
}

/** The published case: what is written for a 4 KiB overwrite inside a folio of 64 KiB. */
function amplificationText({ amplification }: Study): string {
  const { legacy, iomap } = amplification;
  const rows = [
    ['legacy, a page of 4 KiB', figure(legacy.writeBioBytes / legacy.bytes), figure(legacy.dirtyFolioBytes / legacy.bytes)],
    ['iomap, folios of 64 KiB', figure(iomap.writeBioBytes / iomap.bytes), figure(iomap.dirtyFolioBytes / iomap.bytes)],
  ];
  return `**Write amplification: 4 KiB overwrites in a cached file, an fsync after each**\n\n${table(
    ['', 'data written ÷ bytes of the calls', 'the same without a dirty bit per block: whole folios'], rows,
  )}`;
}

function stateText({ blockSize }: Study): string {
  const heads = MIB / blockSize;
  const rows = [
    ['buffer heads (legacy)', String(heads), `${BUFFER_HEAD_BYTES} bytes`, String(heads * BUFFER_HEAD_BYTES)],
    ['buffer heads in Linux', String(heads), `${KERNEL_BUFFER_HEAD_BYTES} bytes`, String(heads * KERNEL_BUFFER_HEAD_BYTES)],
    ['bits (iomap)', String(heads), '2 bits', String((heads * 2) / 8)],
  ];
  return `**State of a cached MiB** in blocks of ${sizeName(blockSize)} (${PAGE_BYTES / blockSize} to a page)\n\n${table(['', 'blocks', 'each', 'bytes'], rows)}`;
}

/** The published case: a read across an indirect block. */
function boundaryText({ boundary }: Study): string {
  const rows = (['legacy', 'iomap'] as const).map((way) => {
    const { blocks, requests, inDiskOrder } = boundary[way];
    return [way, String(blocks), String(requests), inDiskOrder ? 'yes' : 'no'];
  });
  return `**A cold read across an indirect block**\n\n${table(['', 'blocks of data', 'device requests', 'in the order of the disk'], rows)}`;
}

const caseName = ({ directories, entries }: DirRow): string =>
  `${directories === 1 ? '1 directory' : `${whole(directories)} directories`} of ${whole(entries)} names`;

const whole = (value: number): string => value.toLocaleString('en');

/** Both homes in a cell, in the order that the head says. */
const homes = (of: (home: Home) => number): string => `${whole(of('buffer-cache'))} · ${whole(of('page-cache'))}`;

function directoryCounts({ directories }: Study, code: CodeLines | undefined): string {
  const rows = directories.map((row) => {
    const { counts } = row;
    return [
      caseName(row),
      whole(counts['buffer-cache'].blocks),
      homes((home) => counts[home].insert),
      homes((home) => counts[home].lookup),
      homes((home) => counts[home].list),
      homes((home) => counts[home].listBytes / 1024),
    ];
  });
  const head = ['', 'blocks', 'all entered, then a sync', '1,000 look-ups, nothing cached', 'a listing, nothing cached', 'KiB read by it'];
  const lines = code === undefined ? '' : `\nLines of code of a home (neither blank nor comment): buffer cache ${code['buffer-cache']}, page cache ${code['page-cache']}; shared by both ${code.shared}.\n`;
  return `**Directories: device requests in either home** (each cell: buffer cache · page cache)\n\n${table(head, rows)}${lines}`;
}

/** A thousand of something a second, three digits. */
const thousands = (value: number): string => figure(value / 1000);

/** Times of directories in both homes; nothing is asserted of them. */
export function directoryTimes({ directories }: Pick<Study, 'directories'>, machine: string): string {
  const rows = directories.flatMap((row) => {
    const { times } = row;
    if (times === undefined) return [];
    const rate = (of: (times: DirTimes) => number): string => `${thousands(of(times['buffer-cache']))} · ${thousands(of(times['page-cache']))}`;
    return [[
      caseName(row),
      rate(({ insert }) => insert),
      rate(({ lookupCold }) => lookupCold),
      rate(({ lookup }) => lookup),
      rate(({ listCold }) => listCold),
      rate(({ list }) => list),
      times['buffer-cache'].heapBytes === 0 ? '–' : `${times['buffer-cache'].heapBytes.toFixed(0)} · ${times['page-cache'].heapBytes.toFixed(0)}`,
    ]];
  });
  if (rows.length === 0) return '';
  const head = ['', 'entered', 'looked up, nothing cached', 'looked up, cached', 'listed, nothing cached', 'listed, cached', 'heap bytes per cached block'];
  return `Thousands a second on ${machine}; an image in memory. Each cell: buffer cache · page cache.\n\n${table(head, rows)}`;
}

/** Times of one run; they differ from machine to machine, so nothing is asserted of them. */
export function timesText(study: Study, machine: string): string {
  const parts = [`Throughput, MiB/s, on ${machine}; an image in memory. The last column is iomap ÷ legacy.\n`];
  const rows = study.rows.flatMap((row) => {
    const { ms, counts } = row;
    if (ms === undefined) return [];
    const rate = (time: number): number => counts.legacy.bytes / MIB / (time / 1000);
    return [[`${row.group}${row.key.startsWith('small') ? `, ${nameOf(row)}` : ''}`, sizeName(row.callBytes), figure(rate(ms.legacy)), figure(rate(ms.iomap)), figure(ms.legacy / ms.iomap)]];
  });
  parts.push(`\n${table(['', 'calls of', 'legacy', 'iomap', 'ratio'], rows)}`, `\n${judge(study)}`);
  return parts.join('');
}

interface Direction {
  readonly text: string;
  readonly rows: (row: Row) => boolean;
  readonly least: number;
}

const DIRECTIONS: readonly Direction[] = [
  { text: 'never slower at 64 KiB and more', rows: (row) => row.callBytes >= 65_536, least: 1 },
  { text: 'buffered writes of 64 KiB and 1 MiB at least 1.4 ×', rows: (row) => /^write-(65536|1048576)$/.test(row.key), least: 1.4 },
  { text: 'direct I/O in 1 MiB calls at least 1.4 ×', rows: (row) => /^direct-(read|write)-1048576$/.test(row.key), least: 1.4 },
];

/** The published directions, and whether this run shows them. */
export function judge(study: Study): string {
  const rows = DIRECTIONS.map(({ text, rows: picks, least }) => {
    const found = study.rows.filter((row) => picks(row) && row.ms !== undefined);
    const under = found.filter(({ ms }) => ms !== undefined && ms.legacy / ms.iomap < least);
    const names = under.map((row) => `${row.group} ${sizeName(row.callBytes)} (${figure((row.ms?.legacy ?? 0) / (row.ms?.iomap ?? 1))})`);
    const result = found.length === 0 ? 'not measured' : under.length === 0 ? 'yes' : `not: ${names.join('; ')}`;
    return [text, `${found.length - under.length} of ${found.length}`, result];
  });
  return table(['published direction', 'rows', 'shown by this run'], rows);
}

/** Puts `text` between the marks of `name`. @throws Error when the document has no such marks */
export function replaceSection(document: string, name: string, text: string): string {
  const [open, close] = [`<!-- study:${name} -->`, `<!-- /study:${name} -->`];
  const from = document.indexOf(open);
  const to = document.indexOf(close);
  if (from < 0 || to < from) throw new Error(`no ${open} … ${close}`);
  return `${document.slice(0, from + open.length)}\n${text}${document.slice(to)}`;
}
