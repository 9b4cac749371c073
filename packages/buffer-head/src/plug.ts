/**
 * The plug: bios that a task puts together before they go down, neighbours on the device merged as the block layer does.
 *
 * I1: every request that was added ends: by the device, or by `abort`. I2: its user flushes it before it waits for anything else.
 */
import { submitMergedDetached, type BlockDevice } from '@iomap/block-device';
import { FsError, type BioRequest, type Io, type IoResult } from '@iomap/io';
import type { BufferInode } from './get-block.js';

/** Vectors of a bio, at most (`BIO_MAX_VECS`): 1 MiB of pages. */
export const BIO_VECS_MAX = 256;

/** Bytes that are put together before they go down. */
const PLUG_BYTES_MAX = 16 * 2 ** 20;

export interface BioParts {
  readonly op: 'read' | 'write';
  readonly addr: number;
  readonly segments: readonly Uint8Array[];
  readonly bytes: number;
  readonly end: (result: IoResult) => void;
}

export class Plug {
  readonly #device: BlockDevice;
  #requests: BioRequest[] = [];
  #bytes = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  get full(): boolean {
    return this.#bytes >= PLUG_BYTES_MAX;
  }

  /** One bio of a file, counted (`submit_bio`). */
  add({ ino, mapping }: BufferInode, { op, addr, segments, bytes, end }: BioParts): void {
    const { counters, trace } = mapping.cache;
    if (op === 'read') {
      counters.readBios++;
      counters.readBioBytes += bytes;
    } else {
      counters.writeBios++;
      counters.writeBioBytes += bytes;
    }
    trace?.({ type: 'bio', ino, op, addr, len: bytes, segments: segments.length });
    this.#bytes += bytes;
    this.#requests.push({ kind: 'bio', target: this.#device, bio: { op, pos: addr, segments, lengthBytes: bytes }, end });
  }

  /** Sends what was put together; nobody waits for it here. */
  *flush(): Io<void> {
    const requests = this.#requests;
    if (requests.length === 0) return;
    this.#requests = [];
    this.#bytes = 0;
    yield* submitMergedDetached(requests);
  }

  /** Gives up what was not sent. Plain, for `finally`. */
  abort(): void {
    const requests = this.#requests;
    this.#requests = [];
    for (const request of requests) request.end?.({ ok: false, error: new FsError('ECANCELED') });
  }
}
