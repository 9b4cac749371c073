/** `iomap study`: a conversion case study, legacy beside iomap in one run; or the matrix of what is converted. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from '../errors.js';
import { columns } from '../format.js';
import { runStudy } from '../study/measure.js';
import { ext2Study, minixStudy } from '../study/mounts.js';
import { callsPlot, ratioPlot } from '../study/plot.js';
import { countsText, replaceSection, timesText } from '../study/report.js';
import { MATRIX, statusRows } from '../study/status.js';
import { WORKLOADS } from '../study/workloads.js';
import { flag, text } from './parse.js';
import type { Run } from './table.js';

const REPEATS = 4;

const machine = (): string => `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}`;

export const run: Run = (context, args, options) => {
  const what = args[0] ?? '';
  if (what === 'status') {
    if (flag(options, 'json')) context.json(MATRIX);
    else context.print(columns(statusRows()).map((line) => `${line}\n`).join(''));
    return Promise.resolve(undefined);
  }
  const driver = [ext2Study, minixStudy].find(({ type }) => type === what);
  if (driver === undefined) throw new UsageError(`no study of ${what}: ext2, minix, status`);
  const file = text(options, 'write');
  const progress = context.progress('study', WORKLOADS.length);
  const study = runStudy(driver, flag(options, 'counts') ? 0 : REPEATS, () => {
    progress.add(1);
  });
  progress.stop();
  if (flag(options, 'json')) context.json(study);
  else context.print(`${countsText(study)}\n${flag(options, 'counts') ? '' : timesText(study, machine())}`);
  if (file !== undefined) {
    let document = replaceSection(readFileSync(file, 'utf8'), 'counts', countsText(study));
    writeFileSync(join(dirname(file), 'mapping-calls.svg'), callsPlot(study));
    if (!flag(options, 'counts')) {
      document = replaceSection(document, 'times', timesText(study, machine()));
      writeFileSync(join(dirname(file), 'throughput.svg'), ratioPlot(study));
    }
    writeFileSync(file, document);
  }
  return Promise.resolve(undefined);
};
