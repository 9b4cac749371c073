/** `iomap study`: a conversion case study, legacy beside iomap in one run; or the matrix of what is converted. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from '../errors.js';
import { columns } from '../format.js';
import { codeLines, DIR_CASES, DIR_CASES_LARGE } from '../study/directories.js';
import { runStudy } from '../study/measure.js';
import { ext2Study, minixStudy } from '../study/mounts.js';
import { callsPlot, ratioPlot } from '../study/plot.js';
import { countsText, directoryTimes, replaceSection, timesText } from '../study/report.js';
import { matrix, statusRows } from '../study/status.js';
import { WORKLOADS } from '../study/workloads.js';
import { flag, text } from './parse.js';
import type { Run } from './table.js';

const REPEATS = 5;

const machine = (): string => `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}`;

export const run: Run = (context, args, options) => {
  const what = args[0] ?? '';
  if (what === 'status') {
    if (flag(options, 'json')) context.json(matrix());
    else context.print(columns(statusRows(matrix())).map((line) => `${line}\n`).join(''));
    return Promise.resolve(undefined);
  }
  const driver = [ext2Study, minixStudy].find(({ type }) => type === what);
  if (driver === undefined) throw new UsageError(`no study of ${what}: ext2, minix, status`);
  const file = text(options, 'write');
  const isTimed = !flag(options, 'counts');
  const progress = context.progress('study', WORKLOADS.length);
  // The documents have a directory of a million names beside the smaller ones.
  const dirCases = file !== undefined && isTimed ? [...DIR_CASES, ...DIR_CASES_LARGE] : DIR_CASES;
  const whole = runStudy(driver, isTimed ? REPEATS : 0, () => {
    progress.add(1);
  }, dirCases);
  progress.stop();
  // What a test can check is what a test has time for.
  const study = { ...whole, directories: whole.directories.slice(0, DIR_CASES.length) };
  if (flag(options, 'json')) context.json(whole);
  else context.print(`${countsText(study)}\n${isTimed ? `${timesText(whole, machine())}\n${directoryTimes(whole, machine())}` : ''}`);
  if (file !== undefined) {
    const code = codeLines(join(dirname(file), '..', '..'));
    let document = replaceSection(readFileSync(file, 'utf8'), 'counts', countsText(study, code));
    writeFileSync(join(dirname(file), 'mapping-calls.svg'), callsPlot(study));
    if (isTimed) {
      document = replaceSection(document, 'times', timesText(whole, machine()));
      document = replaceSection(document, 'directories', directoryTimes(whole, machine()));
      writeFileSync(join(dirname(file), 'throughput.svg'), ratioPlot(study));
    }
    writeFileSync(file, document);
  }
  return Promise.resolve(undefined);
};
