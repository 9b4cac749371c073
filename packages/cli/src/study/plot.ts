/** Plots of a study as SVG: bars of iomap beside legacy, one group of bars for each size of a call. */
import { figure, sizeName } from './report.js';
import type { Row, Study } from './measure.js';

const WIDTH = 720;
const ROW = 22;
const LEFT = 300;
const MAX_RATIO = 8;

const escape = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
}

function chart(title: string, note: string, bars: readonly Bar[], line: number | undefined, max: number): string {
  const height = 56 + bars.length * ROW + 12;
  const x = (value: number): number => LEFT + (Math.min(value, max) / max) * (WIDTH - LEFT - 70);
  const rows = bars.map(({ label, value, text }, i) => {
    const y = 48 + i * ROW;
    const fill = line !== undefined && value < line ? '#b5533c' : '#2f6f8f';
    return `<text x="${LEFT - 8}" y="${y + 14}" text-anchor="end">${escape(label)}</text>` +
      `<rect x="${LEFT}" y="${y + 3}" width="${(x(value) - LEFT).toFixed(1)}" height="${ROW - 8}" fill="${fill}"/>` +
      `<text x="${(x(value) + 6).toFixed(1)}" y="${y + 14}">${escape(text)}</text>`;
  });
  const rule = line === undefined ? '' : `<line x1="${x(line)}" x2="${x(line)}" y1="44" y2="${height - 12}" stroke="#555" stroke-dasharray="3 3"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">\n` +
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>\n<text x="12" y="20" font-size="14" font-weight="bold">${escape(title)}</text>\n` +
    `<text x="12" y="37" fill="#555">${escape(note)}</text>\n${rows.join('\n')}\n${rule}\n</svg>\n`;
}

const labelOf = (row: Row): string => `${row.key.replace(/-\d+$/, '')}, ${sizeName(row.callBytes)}`;

/** Throughput of iomap ÷ legacy. */
export function ratioPlot(study: Study): string {
  const bars = study.rows.flatMap((row): Bar[] => {
    if (row.ms === undefined) return [];
    const value = row.ms.legacy / row.ms.iomap;
    return [{ label: labelOf(row), value, text: `${figure(value)} ×` }];
  });
  const max = Math.min(MAX_RATIO, Math.max(2, ...bars.map(({ value }) => value)));
  return chart(`${study.format}: throughput, iomap ÷ legacy`, 'the dashed line is 1: as fast as before; longer bars are cut', bars, 1, max);
}

/** Mapping calls saved, on a logarithmic scale. The same in every run. */
export function callsPlot(study: Study): string {
  const bars = study.rows.flatMap((row): Bar[] => {
    const { legacy, iomap } = row.counts;
    if (legacy.mapCalls === 0 || iomap.mapCalls === 0) return [];
    const value = legacy.mapCalls / iomap.mapCalls;
    return [{ label: labelOf(row), value: Math.max(0, Math.log2(value)), text: `${figure(value)} ×` }];
  });
  return chart(`${study.format}: mapping calls, legacy ÷ iomap`, 'each doubling is the same length', bars, undefined, Math.max(1, ...bars.map(({ value }) => value)));
}
