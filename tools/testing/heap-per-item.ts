/**
 * What an object costs on the heap, measured.
 *
 * The engine's own work between two looks (code compiled, feedback collected, a deferred sweep) falls into some runs and
 * not into others, so the figure is the median of many.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const RUNS = 11;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heapBytes(): number {
  if (typeof collect !== 'function') throw new Error('no garbage collector to call');
  // What the first leaves to finalizers goes with the second.
  Reflect.apply(collect, undefined, []);
  Reflect.apply(collect, undefined, []);
  return process.memoryUsage().heapUsed;
}

/**
 * Bytes of heap for each of `items` that `make` leaves reachable.
 * @param prepare what one run starts from; what it takes is not counted
 * @param make leaves the items in what `prepare` gave
 */
export function heapPerItem<S>(items: number, prepare: () => S, make: (start: S) => void): number {
  const runs: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const start = prepare();
    const before = heapBytes();
    make(start);
    runs.push((heapBytes() - before) / items);
    // Reachable up to here: the engine may collect what nobody names again.
    if (start === undefined) throw new Error('nothing to keep the items in');
  }
  runs.sort((a, b) => a - b);
  return runs[(RUNS - 1) / 2] ?? Number.NaN;
}
