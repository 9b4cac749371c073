/** How facts look: sizes, times, columns. */
import type { Timespec } from '@iomap/io';
import { UsageError } from './errors.js';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `12.3 MiB`; whole numbers below 1024. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

const FACTORS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** A size as people write it: `4096`, `64K`, `1.5G`, `1GiB`. Bytes. @throws UsageError */
export function parseSize(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  const factor = FACTORS[(match?.[2] ?? '').toLowerCase()];
  const bytes = match === null || factor === undefined ? Number.NaN : Number(match[1]) * factor;
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`not a size: ${text}`);
  return bytes;
}

const pad = (n: number, width = 2): string => String(n).padStart(width, '0');

/** The date of a time, or undefined when JavaScript's dates do not reach it. */
function dateOf(time: Timespec): Date | undefined {
  const date = new Date(time.sec * 1000);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** `2026-11-22T13:09:22.000000001Z` */
export function isoTime(time: Timespec): string {
  const date = dateOf(time);
  return date === undefined ? `@${time.sec}.${pad(time.nsec, 9)}` : `${date.toISOString().slice(0, -5)}.${pad(time.nsec, 9)}Z`;
}

/** `2026-11-22 13:09`, local. */
export function listTime(time: Timespec): string {
  const date = dateOf(time);
  if (date === undefined) return `@${time.sec}`.padEnd(16);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** 16 bytes as `8-4-4-4-12` hex digits. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @throws UsageError */
export function parseUuid(text: string): Uint8Array {
  if (!/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(text)) throw new UsageError(`not a UUID: ${text}`);
  return Buffer.from(text.replaceAll('-', ''), 'hex');
}

/** Rows of cells in columns; `right` names the columns that are flush right. Without trailing spaces. */
export function columns(rows: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (right.has(i) ? cell.padStart(widths[i] ?? 0) : i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join(' ')
      .trimEnd(),
  );
}

/** `key: value` lines, values aligned. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([key]) => key.length)) + 1;
  return pairs.map(([key, value]) => `${`${key}:`.padEnd(width)} ${value}\n`).join('');
}

/** `1 file`, `2 files`. */
export const plural = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;
