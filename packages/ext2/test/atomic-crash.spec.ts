/** Atomic writes and power cuts: at every request, what is written atomically is there whole or not at all. */
import { isCode, runSync, SeededRandom, fixedEnv, type Io } from '@iomap/io';
import { exploreCrashes, SimDevice } from '@iomap/io/sim';
import { testRuns, testSeed } from '@iomap/tools/testing';
import { createVfs, O_CREAT, O_RDONLY, O_RDWR, type Vfs } from '@iomap/vfs';
import { mount } from '../src/index.js';
import { emptyImage } from './driver.js';

const BLOCK = 1024;
const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
/** What the atomic write writes; everything else is below. */
const ATOMIC = 0xee;

interface Plan {
  readonly pos: number;
  readonly len: number;
}

/** A file of which a part is durable, the rest (its blocks, its size, or both) in core alone; then an atomic write. */
function* work(vfs: Vfs, random: SeededRandom, note: (what: unknown) => void): Io<void> {
  const fd = yield* vfs.open('/file', O_RDWR | O_CREAT, 0o644);
  const durable = 1 + random.below(18);
  yield* vfs.write(fd, new Uint8Array(durable * BLOCK - random.below(2) * 100).fill(1), 0);
  // The rest is a hole that is filled below, or not there yet.
  if (random.chance(0.4)) yield* vfs.ftruncate(fd, 32 * BLOCK);
  yield* vfs.fsync(fd);
  if (random.chance(0.2)) yield* vfs.ftruncate(fd, random.below(durable * BLOCK));
  const from = random.chance(0.7) ? durable * BLOCK : random.below(durable * BLOCK);
  yield* vfs.write(fd, new Uint8Array((1 + random.below(24)) * BLOCK).fill(2), from);
  const len = BLOCK * 2 ** random.below(5);
  const pos = len * random.below((32 * BLOCK) / len);
  const direct = random.chance(0.5);
  try {
    note({ pos, len } satisfies Plan);
    yield* vfs.pwrite2(fd, new Uint8Array(len).fill(ATOMIC), pos, { atomic: true, direct });
    note('written');
  } catch (error) {
    // Holes, blocks apart, past the end: not to be had, and refused.
    if (!isCode(error, 'EINVAL')) throw error;
    note('refused');
  }
  yield* vfs.fsync(fd);
  note('synced');
}

function check(disk: SimDevice, notes: readonly unknown[]): boolean {
  const plan = notes[0] as Plan | undefined;
  if (plan === undefined) return false;
  const vfs = createVfs(runSync(mount(disk, { env, readOnly: true })), { env });
  const fd = runSync(vfs.open('/file', O_RDONLY));
  const bytes = new Uint8Array(64 * BLOCK);
  const file = bytes.subarray(0, runSync(vfs.read(fd, bytes, 0)));
  const inside = file.subarray(plan.pos, plan.pos + plan.len);
  const found = inside.reduce((sum, byte) => sum + (byte === ATOMIC ? 1 : 0), 0);
  if (found !== 0 && found !== plan.len) throw new Error(`${found} of ${plan.len} bytes at ${plan.pos} of ${file.length}`);
  if (file.includes(ATOMIC) && found === 0) throw new Error('the atomic write went elsewhere');
  if (notes.includes('written') && notes.includes('synced') && found === 0) throw new Error('it was synced, and is not there');
  return notes.includes('written');
}

it('an atomic write is there whole or not at all, also over blocks and a size that were not durable before', () => {
  const image = emptyImage(512 * BLOCK, { blockSize: BLOCK, inodes: 32 });
  const runs = testRuns(40);
  const first = testSeed();
  let written = 0;
  for (let seed = first; seed < first + runs; seed++) {
    let wasWritten = false;
    exploreCrashes(
      function* (device, { note }) {
        const vfs = createVfs(yield* mount(device, { env, pageCacheBytes: 2 ** 20, bufferCacheBytes: 2 ** 19 }), { env });
        yield* work(vfs, new SeededRandom(seed), note);
      },
      (disk, { notes }) => {
        wasWritten = check(disk, notes) || wasWritten;
      },
      { device: () => new SimDevice({ content: image, atomicWriteBytes: 16 * BLOCK }), seed, imagesMax: 6 },
    );
    if (wasWritten) written++;
  }
  if (runs >= 40) expect(written).toBeGreaterThan(8);
}, 60_000);
