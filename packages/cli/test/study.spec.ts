/** The conversion studies: their counts are the same in every run, and the documents say them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runStudy } from '../src/study/measure.js';
import { ext2Study, minixStudy } from '../src/study/mounts.js';
import { callsPlot } from '../src/study/plot.js';
import { countsText, replaceSection } from '../src/study/report.js';
import { MATRIX, statusRows } from '../src/study/status.js';

const packages = join(__dirname, '..', '..');

describe.each([
  [ext2Study, join(packages, 'ext2', 'docs')],
  [minixStudy, join(packages, 'minixfs', 'docs')],
] as const)('the study of $type', (driver, docs) => {
  const study = runStudy(driver, 0);
  const row = (key: string) => {
    const found = study.rows.find((one) => one.key === key);
    if (found === undefined) throw new Error(`no ${key}`);
    return found.counts;
  };

  it('is what its document says: else run `iomap study … --write`', () => {
    const document = readFileSync(join(docs, 'conversion.md'), 'utf8');
    expect(replaceSection(document, 'counts', countsText(study))).toBe(document);
    expect(readFileSync(join(docs, 'mapping-calls.svg'), 'utf8')).toBe(callsPlot(study));
  });

  it('shows what was published, where counts can show it', () => {
    const { legacy, iomap } = row('write-1048576');
    expect(legacy.mapCalls).toBeGreaterThan(100 * iomap.mapCalls);
    // With blocks of 1 KiB an indirect block lies between each 256 KiB of data, and cuts the folios.
    expect(legacy.folios).toBeGreaterThan((driver.blockSize === 4096 ? 50 : 5) * iomap.folios);
    expect(iomap.stateBytes * 8).toBe((2 * iomap.cachedBytes) / driver.blockSize);
    expect(legacy.stateBytes).toBe((72 * legacy.cachedBytes) / driver.blockSize);
    const { amplification } = study;
    expect(amplification.iomap.writeBioBytes).toBe(amplification.iomap.bytes);
    expect(amplification.iomap.dirtyFolioBytes).toBe(16 * amplification.iomap.bytes);
  });

  it('moves the same bytes both ways', () => {
    for (const { counts } of study.rows) expect(counts.iomap.bytes).toBe(counts.legacy.bytes);
    expect(study.missing).toEqual([]);
  });
});

describe('the matrix', () => {
  it('has every driver and every operation', () => {
    const [head, ...rows] = statusRows();
    expect(head).toEqual(['operation', ...Object.keys(MATRIX)]);
    expect(rows.map(([name]) => name)).toEqual(expect.arrayContaining(['buffered read', 'buffered write', 'writeback', 'directories', 'metadata']));
    for (const row of rows) expect(row).toHaveLength(head?.length ?? 0);
  });
});
