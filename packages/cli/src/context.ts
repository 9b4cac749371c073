/**
 * One run of the command: where it prints, and what it has to say at the end.
 *
 * `problem` reports something that went wrong while the rest goes on, as cp(1) does: the exit code becomes 1.
 */
import { errorLine, type Where } from './errors.js';
import { startProgress, type Progress } from './progress.js';
import type { Terminal } from './terminal.js';

export interface Context {
  readonly terminal: Terminal;
  /** Prints text to standard output. */
  print(text: string): void;
  /** Prints a value as JSON, two spaces deep. */
  json(value: unknown): void;
  /** One line on standard error; the exit code stays. */
  warn(line: string): void;
  /** One line on standard error; the exit code becomes 1. */
  problem(line: string): void;
  /** As `problem`, for an error. @throws the error itself when it is a bug */
  failed(error: unknown, where: Where): void;
  /** How many problems there were. */
  readonly problems: number;
  /** A bar on standard error for work that takes over a second, where that is a terminal. */
  progress(label: string, total: number): Progress;
}

export function createContext(terminal: Terminal): Context {
  let problems = 0;
  return {
    terminal,
    print: (text) => terminal.out(text),
    json: (value) => terminal.out(`${JSON.stringify(value, undefined, 2)}\n`),
    warn: (line) => terminal.err(`iomap: ${line}\n`),
    problem(line) {
      problems++;
      terminal.err(`iomap: ${line}\n`);
    },
    failed(error, where) {
      problems++;
      terminal.err(`${errorLine(error, where)}\n`);
    },
    get problems() {
      return problems;
    },
    progress: (label, total) => startProgress(terminal, label, total),
  };
}
