/** The conversion studies: their counts are the same in every run, and the documents say them. */
import { buffersOf } from '@iomap/buffer-head';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeLines } from '../src/study/directories.js';
import { runStudy } from '../src/study/measure.js';
import { countedDevice, ext2Study, HOMES, minixStudy, WAYS } from '../src/study/mounts.js';
import { callsPlot } from '../src/study/plot.js';
import { countsText, replaceSection } from '../src/study/report.js';
import { matrix, statusRows } from '../src/study/status.js';
import { Subject } from '../src/study/workloads.js';

const packages = join(__dirname, '..', '..');

describe.each([
  { type: 'ext2', driver: ext2Study, docs: join(packages, 'ext2', 'docs') },
  { type: 'minix', driver: minixStudy, docs: join(packages, 'minixfs', 'docs') },
])('the study of $type', ({ driver, docs }) => {
  const study = runStudy(driver, 0);
  const row = (key: string) => {
    const found = study.rows.find((one) => one.key === key);
    if (found === undefined) throw new Error(`no ${key}`);
    return found.counts;
  };

  it('is what its document says: else run `iomap study … --write`', () => {
    const document = readFileSync(join(docs, 'conversion.md'), 'utf8');
    expect(replaceSection(document, 'counts', countsText(study, codeLines(packages)))).toBe(document);
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

  it('reads across an indirect block in two requests, in the order of the disk', () => {
    const { legacy, iomap } = study.boundary;
    expect(iomap).toEqual({ blocks: 16, requests: 2, inDiskOrder: true });
    expect(legacy.requests).toBe(driver === ext2Study ? 3 : 4);
  });

  it('finds in both homes of directories the same blocks', () => {
    for (const { counts } of study.directories) expect(counts['page-cache'].blocks).toBe(counts['buffer-cache'].blocks);
  });

  it('moves the same bytes both ways', () => {
    for (const { counts } of study.rows) expect(counts.iomap.bytes).toBe(counts.legacy.bytes);
    expect(study.missing).toEqual([]);
  });
});

describe('the matrix', () => {
  const all = matrix();

  it('has every driver and every operation', () => {
    const [head, ...rows] = statusRows(all);
    expect(head).toEqual(['operation', 'ext2', 'minix', 'xfs']);
    expect(rows.map(([name]) => name)).toEqual(expect.arrayContaining(['buffered read', 'buffered write', 'writeback', 'directories', 'metadata']));
    for (const row of rows) expect(row).toHaveLength(head?.length ?? 0);
  });

  it('names every way that a mount option picks, the default first', () => {
    for (const type of ['ext2', 'minix']) {
      expect(all[type]?.['buffered write']).toEqual(['iomap', 'legacy']);
      expect(all[type]?.['directories']).toEqual(['buffer cache', 'page cache, by iomap']);
    }
    expect(all['ext2']?.['swapfile']).toEqual(['iomap']);
    expect(all['minix']?.['swapfile']).toEqual([]);
  });

  it.each([ext2Study, minixStudy])('$type does what it says of directories and of files', (driver) => {
    for (const way of WAYS) {
      for (const home of HOMES) {
        const { device } = countedDevice(new Uint8Array(4 * 2 ** 20));
        driver.mkfs(device);
        const subject = new Subject(driver.mount(device, { way, home }));
        const { operations, counters } = subject.mount;
        const file = subject.create('file');
        // A directory in the page cache is folios by now; nothing else is.
        expect(counters.folioAllocs > 0).toBe(operations['directories'] === 'page cache, by iomap');
        subject.write(file, 0, new Uint8Array(4096));
        const folio = subject.mount.mappingOf(file)?.lookup(0);
        expect(folio !== undefined && buffersOf(folio) !== undefined).toBe(operations['buffered write'] === 'legacy');
      }
    }
  });
});
