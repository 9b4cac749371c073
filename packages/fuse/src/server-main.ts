/**
 * The program of the server process, and of the thread in it that serves (the same module, so that one file is the whole
 * server). `argv[2]`: a `ServerTask` as JSON. Descriptor 3, when it is there, gets a line of JSON: the report.
 */
import { writeSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { serve, type ServerReport, type ServerTask } from './server.js';
import { runWorker, type WorkerTask } from './worker.js';

function report(message: ServerReport): void {
  try {
    writeSync(3, `${JSON.stringify(message)}\n`);
  } catch {
    if (!message.ok) process.stderr.write(`iomap: ${message.text}\n`);
  }
}

if (isMainThread) {
  const task = JSON.parse(process.argv[2] ?? '{}') as ServerTask;
  process.chdir('/');
  process.exitCode = await serve(task, new URL(import.meta.url), report);
} else if (parentPort !== null) {
  await runWorker(workerData as WorkerTask, parentPort);
}
