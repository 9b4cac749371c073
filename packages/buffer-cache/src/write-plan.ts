/** Puts buffers that are to be written in device order and cuts them into runs of adjacent ones, one bio each. */
import type { Buf } from './buf.js';

/**
 * @param maxBioBytes the longest bio; a run is never longer (a single buffer may be)
 * @returns runs in order of position
 */
export function planWrites(bufs: Buf[], maxBioBytes: number): Buf[][] {
  bufs.sort((a, b) => a.pos - b.pos);
  const runs: Buf[][] = [];
  let run: Buf[] = [];
  let end = -1;
  let length = 0;
  for (const buf of bufs) {
    if (run.length > 0 && (buf.pos !== end || length + buf.bytes.length > maxBioBytes)) {
      runs.push(run);
      run = [];
      length = 0;
    }
    run.push(buf);
    length += buf.bytes.length;
    end = buf.pos + buf.bytes.length;
  }
  if (run.length > 0) runs.push(run);
  return runs;
}
