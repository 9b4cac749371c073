/** A progress bar: on standard error, only where that is a terminal, only once a second has passed. */
import { createRequire } from 'node:module';
import type { SingleBar } from 'cli-progress';
import { sizeText } from './format.js';
import type { Terminal } from './terminal.js';

export interface Progress {
  /** So many more bytes (or things) are done. Cheap: call it as often as you like. */
  add(amount: number): void;
  stop(): void;
}

const DELAY_MS = 1000;
const STEP_MS = 100;

const NONE: Progress = { add: () => undefined, stop: () => undefined };

/** @param total bytes */
export function startProgress(terminal: Terminal, label: string, total: number): Progress {
  if (!terminal.errIsTerminal || total <= 0) return NONE;
  const start = performance.now();
  let done = 0;
  let looked = start;
  let bar: SingleBar | undefined;
  const show = (now: number): void => {
    // The work is synchronous, so no timer can draw: the bar is drawn from here.
    bar ??= openBar(label, total);
    const seconds = (now - start) / 1000;
    bar.update(Math.min(done, total), { done: sizeText(done), all: sizeText(total), rate: `${sizeText(done / seconds)}/s` });
  };
  return {
    add(amount) {
      done += amount;
      const now = performance.now();
      if (now - looked < STEP_MS || now - start < DELAY_MS) return;
      looked = now;
      show(now);
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}

function openBar(label: string, total: number): SingleBar {
  // Loaded when the first bar is due: most runs never get there.
  const library = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
  const bar = new library.SingleBar({
    format: `${label} [{bar}] {percentage}% | {done} of {all} | {rate}`,
    clearOnComplete: true,
    hideCursor: true,
    stopOnComplete: false,
    stream: process.stderr,
  });
  bar.start(total, 0, { done: '', all: '', rate: '' });
  return bar;
}
