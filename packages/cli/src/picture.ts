/**
 * The block map of a file as a picture in terminal cells: the file from left to right, and the device with the places that
 * the file has. Each extent has a letter; a cell that several share shows the one with most of it.
 */
import type { FiemapExtent } from '@iomap/vfs';
import { sizeText } from './format.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const HOLE = '·';
const FREE = '░';

interface Span {
  readonly pos: number;
  readonly length: number;
  readonly letter: string;
}

/** One row: each cell shows the span that has most of it. */
function row(spans: readonly Span[], total: number, cells: number, empty: string): string {
  if (total === 0) return '';
  const width = total / cells;
  const best = new Float64Array(cells);
  const shown: string[] = new Array<string>(cells).fill(empty);
  for (const span of spans) {
    const first = Math.max(0, Math.floor(span.pos / width));
    const last = Math.min(cells - 1, Math.floor((span.pos + span.length - 1) / width));
    for (let cell = first; cell <= last; cell++) {
      const share = Math.min(span.pos + span.length, (cell + 1) * width) - Math.max(span.pos, cell * width);
      if (share > (best[cell] ?? 0)) {
        best[cell] = share;
        shown[cell] = span.letter;
      }
    }
  }
  return shown.join('');
}

/**
 * @param columns cells across
 * @returns lines, each with its newline
 */
export function drawMap(
  extents: readonly FiemapExtent[],
  map: { readonly size: number; readonly deviceBytes: number },
  columns: number,
): string {
  const cells = Math.max(16, columns - 10);
  const letter = (i: number): string => LETTERS[i % LETTERS.length] ?? '#';
  const inFile = extents.map(({ logical, length }, i): Span => ({ pos: logical, length, letter: letter(i) }));
  const onDevice = extents.map(({ physical, length }, i): Span => ({ pos: physical, length, letter: letter(i) }));
  const end = extents.reduce((most, { logical, length }) => Math.max(most, logical + length), map.size);
  const legend = `one cell of the file: ${sizeText(Math.ceil(end / cells))}, of the device: ${sizeText(Math.ceil(map.deviceBytes / cells))}; ${HOLE} hole, ${FREE} elsewhere\n`;
  if (end === 0) return 'the file is empty\n';
  return `file     |${row(inFile, end, cells, HOLE)}|\ndevice   |${row(onDevice, map.deviceBytes, cells, FREE)}|\n${legend}`;
}
