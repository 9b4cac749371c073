/** The asynchronous loop over a device that answers late, with a queue of requests in place of the kernel. */
import { memoryDevice, type BlockDevice } from '@iomap/block-device';
import { mkfs, mount } from '@iomap/ext2';
import { fixedEnv, runAsync, runSync, type Bio, type IoResult } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import {
  FuseEntryOut,
  FuseForgetIn,
  FuseFsyncIn,
  FuseInHeader,
  FuseInitIn,
  FuseMknodIn,
  FuseOutHeader,
  FuseReadIn,
  FuseWriteIn,
} from './abi.js';
import { REPLY_AT, REQUEST_AT, type Channel } from './channel.js';
import { CONTROL_BYTES, CONTROL_STOP, CONTROL_WISHES, CONTROL_WRITEBACK } from './control.js';
import { checkOptions } from './options.js';
import { OP } from './protocol.js';
import { CHANNELS_MAX, serveAsync, type Transport } from './serve-async.js';
import { Session } from './session.js';

/** A device in memory that answers in the order that `release` says, or by itself after a moment. */
class LateDevice implements BlockDevice {
  readonly synchronous = false;
  readonly name = 'late';
  readonly #base: ReturnType<typeof memoryDevice>;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  readonly readOnly = false;
  readonly limits: BlockDevice['limits'];
  /** Bios wait here while it is set. */
  held: (() => void)[] | undefined = undefined;
  inFlight = 0;
  inFlightMax = 0;

  constructor(sizeBytes = 16 * 2 ** 20) {
    this.#base = memoryDevice({ sizeBytes });
    ({ sizeBytes: this.sizeBytes, sectorSize: this.sectorSize, limits: this.limits } = this.#base);
  }

  get base(): BlockDevice {
    return this.#base;
  }

  async submit(bio: Bio): Promise<IoResult> {
    this.inFlightMax = Math.max(this.inFlightMax, ++this.inFlight);
    const { held } = this;
    await new Promise<void>((resolve) => {
      if (held !== undefined && bio.op === 'read') held.push(resolve);
      else setTimeout(resolve, 1);
    });
    this.inFlight--;
    return await this.#base.submit(bio);
  }

  close(): void {
    this.#base.close();
  }
}

interface Answer {
  readonly error: number;
  readonly payload: Uint8Array;
}

/** The kernel's side: a queue of requests, and who waits for which answer. */
class Queue implements Transport {
  readonly #requests: Uint8Array[] = [];
  readonly #waiting = new Map<bigint, (answer: Answer) => void>();
  #unique = 2n;
  #reader: (() => void) | undefined = undefined;
  isClosed = false;

  async receive(channel: Channel): Promise<number> {
    while (this.#requests.length === 0) {
      if (this.isClosed) return -1;
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
    const request = this.#requests.shift() ?? new Uint8Array(0);
    channel.input.set(request, REQUEST_AT);
    return request.length;
  }

  send(channel: Channel, length: number): boolean {
    const out = FuseOutHeader.at(channel.reply, REPLY_AT);
    const answer = { error: out.error, payload: channel.reply.slice(REPLY_AT + FuseOutHeader.size, REPLY_AT + length) };
    const { unique } = out;
    this.#waiting.get(unique)?.(answer);
    return this.#waiting.delete(unique);
  }

  #wake(): void {
    this.#reader?.();
    this.#reader = undefined;
  }

  close(): void {
    this.isClosed = true;
    this.#wake();
  }

  ask(opcode: number, nodeid: number, args: Uint8Array = new Uint8Array(0)): Promise<Answer> {
    const unique = this.#unique;
    this.#unique += 2n;
    const request = new Uint8Array(FuseInHeader.size + args.length);
    const header = FuseInHeader.at(request);
    header.len = request.length;
    header.opcode = opcode;
    header.unique = unique;
    header.nodeid = nodeid;
    request.set(args, FuseInHeader.size);
    this.#requests.push(request);
    const answer = new Promise<Answer>((resolve) => {
      this.#waiting.set(unique, resolve);
    });
    this.#wake();
    return answer;
  }
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function args(table: { readonly size: number }, fill: (bytes: Uint8Array) => void, tail: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(table.size + tail.length);
  fill(bytes);
  bytes.set(tail, table.size);
  return bytes;
}

const readArgs = (size: number, offset = 0): Uint8Array =>
  args(FuseReadIn, (bytes) => {
    const view = FuseReadIn.at(bytes);
    view.size = size;
    view.offset = offset;
  });

class Rig {
  readonly device: LateDevice;
  readonly queue = new Queue();
  readonly control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
  readonly complaints: string[] = [];
  #session: Session | undefined;
  #served: Promise<void> = Promise.resolve();

  constructor(device = new LateDevice()) {
    this.device = device;
  }

  get session(): Session {
    if (this.#session === undefined) throw new Error('not started');
    return this.#session;
  }

  async start(pageCacheBytes = 2 ** 20): Promise<void> {
    const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
    runSync(mkfs(this.device.base, {}, env));
    await this.mount(pageCacheBytes);
  }

  async mount(pageCacheBytes = 2 ** 20): Promise<void> {
    const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
    const fs = await runAsync(mount(this.device, { env, pageCacheBytes }));
    const vfs = createVfs(fs, { umask: 0, env });
    await runAsync(vfs.core.root());
    this.#session = new Session(vfs, checkOptions({ requestBytes: 131_072 }), 4096, (what, error) => {
      this.complaints.push(`${what}: ${String(error)}`);
    });
    let isServed = false;
    this.#served = serveAsync(this.queue, this.session, this.control, () => {
      isServed = true;
    });
    const init = args(FuseInitIn, (bytes) => {
      const view = FuseInitIn.at(bytes);
      view.major = 7;
      view.minor = 40;
    });
    expect((await this.queue.ask(OP.INIT, 0, init)).error).toBe(0);
    await Promise.resolve();
    expect(isServed).toBe(true);
  }

  async end(): Promise<void> {
    this.queue.close();
    await this.#served;
    await runAsync(this.session.forgetAll());
    await runAsync(this.session.vfs.unmount());
    expect(this.complaints).toEqual([]);
  }

  /** Until the loop has returned; the queue stays open. */
  async stopped(): Promise<void> {
    await this.#served;
  }

  async create(name: string, content: Uint8Array): Promise<number> {
    const made = await this.queue.ask(
      OP.MKNOD,
      1,
      args(
        FuseMknodIn,
        (bytes) => {
          FuseMknodIn.at(bytes).mode = 0o100644;
        },
        bytesOf(`${name}\0`),
      ),
    );
    expect(made.error).toBe(0);
    const node = FuseEntryOut.at(made.payload).nodeid;
    expect((await this.write(node, 0, content)).error).toBe(0);
    return node;
  }

  write(node: number, offset: number, content: Uint8Array): Promise<Answer> {
    const request = args(
      FuseWriteIn,
      (bytes) => {
        const view = FuseWriteIn.at(bytes);
        view.offset = offset;
        view.size = content.length;
      },
      content,
    );
    return this.queue.ask(OP.WRITE, node, request);
  }

  async fsyncAll(nodes: readonly number[]): Promise<void> {
    for (const node of nodes) expect((await this.queue.ask(OP.FSYNC, node, new Uint8Array(FuseFsyncIn.size))).error).toBe(0);
  }
}

const turns = (count: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, count));

describe('serving an asynchronous device', () => {
  it('a request that waits for the device does not stop one on another inode', async () => {
    const rig = new Rig();
    await rig.start();
    const slow = await rig.create('slow', new Uint8Array(8192).fill(1));
    const fast = await rig.create('fast', new Uint8Array(8192).fill(2));
    await rig.end();
    const again = new Rig(rig.device);
    await again.mount();
    const lookup = async (name: string): Promise<number> => FuseEntryOut.at((await again.queue.ask(OP.LOOKUP, 1, bytesOf(`${name}\0`))).payload).nodeid;
    expect([await lookup('slow'), await lookup('fast')]).toEqual([slow, fast]);
    // Into the cache, so that only the other one needs the device.
    expect((await again.queue.ask(OP.READ, fast, readArgs(8192))).payload).toEqual(new Uint8Array(8192).fill(2));
    const held: (() => void)[] = [];
    again.device.held = held;
    let isSlowDone = false;
    const late = again.queue.ask(OP.READ, slow, readArgs(8192)).then((answer) => {
      isSlowDone = true;
      return answer;
    });
    for (let i = 0; i < 50; i++) {
      expect((await again.queue.ask(OP.READ, fast, readArgs(4096))).payload[0]).toBe(2);
      expect((await again.queue.ask(OP.GETATTR, fast, new Uint8Array(16))).error).toBe(0);
    }
    expect(held.length).toBeGreaterThan(0);
    expect(isSlowDone).toBe(false);
    again.device.held = undefined;
    for (const release of held) release();
    expect((await late).payload).toEqual(new Uint8Array(8192).fill(1));
    await again.end();
  });

  it('reads of many inodes are in flight together, more requests than channels are all answered', async () => {
    const rig = new Rig();
    await rig.start();
    const count = CHANNELS_MAX * 3;
    const nodes: number[] = [];
    for (let i = 0; i < count; i++) nodes.push(await rig.create(`f${i}`, new Uint8Array(5000).fill(i)));
    await rig.fsyncAll(nodes);
    await rig.end();
    const again = new Rig(rig.device);
    await again.mount();
    again.device.inFlightMax = 0;
    const answers = await Promise.all(nodes.map((node) => again.queue.ask(OP.READ, node, readArgs(8192))));
    answers.forEach(({ error, payload }, i) => {
      expect(error).toBe(0);
      expect(payload).toEqual(new Uint8Array(5000).fill(i));
    });
    expect(again.device.inFlightMax).toBeGreaterThan(4);
    expect(again.device.inFlightMax).toBeLessThanOrEqual(CHANNELS_MAX * 2);
    await again.end();
  });

  it('writes, reads, names and fsyncs at once: each file has what its own writer wrote', async () => {
    const rig = new Rig();
    await rig.start();
    let failures = 0;
    const worker = async (id: number): Promise<void> => {
      for (let round = 0; round < 12; round++) {
        const content = new Uint8Array(3000 + id * 700 + round * 911).fill(id * 16 + round);
        const node = await rig.create(`w${id}-${round}`, content);
        if (round % 3 === 0) await rig.fsyncAll([node]);
        const { payload } = await rig.queue.ask(OP.READ, node, readArgs(65_536));
        if (Buffer.compare(payload, content) !== 0) failures++;
        if (round % 2 === 0) {
          expect((await rig.queue.ask(OP.UNLINK, 1, bytesOf(`w${id}-${round}\0`))).error).toBe(0);
          // Open still, as far as anyone knows: its content is there until it is forgotten.
          expect((await rig.queue.ask(OP.READ, node, readArgs(65_536))).payload.length).toBe(content.length);
        }
        void rig.queue.ask(OP.FORGET, node, args(FuseForgetIn, (bytes) => {
          FuseForgetIn.at(bytes).nlookup = 1;
        }));
        if (id === 0) Atomics.or(rig.control, CONTROL_WISHES, CONTROL_WRITEBACK);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, id) => worker(id)));
    await turns(20);
    expect(failures).toBe(0);
    expect([rig.session.lookups.size, rig.session.orphanCount]).toEqual([0, 0]);
    await rig.end();
  });

  describe('a full image with an unlinked file that is not forgotten', () => {
    const BLOCK = 65_536;
    const ENOSPC = -28;

    /** All room is in the unlinked file; another one is there, empty. */
    async function full(): Promise<{ rig: Rig; file: number; forget: () => void }> {
      const rig = new Rig(new LateDevice(2 ** 20));
      await rig.start();
      const big = await rig.create('big', new Uint8Array(1));
      const file = await rig.create('file', new Uint8Array(0));
      let pos = 0;
      for (let size = BLOCK; size >= 1024; size /= 64) {
        while ((await rig.write(big, pos, new Uint8Array(size).fill(7))).error === 0) pos += size;
      }
      expect((await rig.queue.ask(OP.UNLINK, 1, bytesOf('big\0'))).error).toBe(0);
      expect(rig.session.orphanCount).toBe(1);
      const forget = (): void => {
        void rig.queue.ask(OP.FORGET, big, args(FuseForgetIn, (bytes) => {
          FuseForgetIn.at(bytes).nlookup = 1;
        }));
      };
      return { rig, file, forget };
    }

    it('a write waits for the forget, while others are served', async () => {
      const { rig, file, forget } = await full();
      let isDone = false;
      const write = rig.write(file, 0, new Uint8Array(BLOCK).fill(9)).then((answer) => {
        isDone = true;
        return answer;
      });
      expect((await rig.queue.ask(OP.GETATTR, file, new Uint8Array(16))).error).toBe(0);
      expect(isDone).toBe(false);
      forget();
      expect((await write).error).toBe(0);
      expect((await rig.queue.ask(OP.READ, file, readArgs(BLOCK))).payload).toEqual(new Uint8Array(BLOCK).fill(9));
      await rig.end();
    });

    it('a write is told ENOSPC when nothing comes back, and so is one without such a file', async () => {
      const { rig, file, forget } = await full();
      expect((await rig.write(file, 0, new Uint8Array(BLOCK).fill(9))).error).toBe(ENOSPC);
      forget();
      const big = await rig.create('again', new Uint8Array(1));
      let pos = 0;
      while ((await rig.write(big, pos, new Uint8Array(BLOCK).fill(7))).error === 0) pos += BLOCK;
      const started = performance.now();
      expect((await rig.write(big, pos, new Uint8Array(BLOCK).fill(7))).error).toBe(ENOSPC);
      expect(performance.now() - started).toBeLessThan(1000);
      expect(rig.session.orphanCount).toBe(0);
      await rig.end();
    });
  });

  it('stop: what was begun is answered, then it returns', async () => {
    const rig = new Rig();
    await rig.start();
    const node = await rig.create('a', new Uint8Array(9000).fill(7));
    Atomics.or(rig.control, CONTROL_WISHES, CONTROL_STOP);
    const last = await rig.queue.ask(OP.FSYNC, node, new Uint8Array(FuseFsyncIn.size));
    expect(last.error).toBe(0);
    await rig.stopped();
    await rig.end();
  });
});
