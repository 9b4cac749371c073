/** The kernel's side without a kernel: encoded requests to a session over an ext2 image in memory, one after the other. */
import { memoryDevice } from '@iomap/block-device';
import { mkfs, mount } from '@iomap/ext2';
import { fixedEnv, runSync } from '@iomap/io';
import { createVfs } from '@iomap/vfs';
import { FuseEntryOut, FuseInHeader, FuseInitIn, FuseMknodIn, FuseOutHeader } from '../src/abi.js';
import { Channel, REPLY_AT, REQUEST_AT } from '../src/channel.js';
import { handle } from '../src/dispatch.js';
import { checkOptions, type ServeOptionsInput } from '../src/options.js';
import { OP } from '../src/protocol.js';
import { NO_REPLY, Session } from '../src/session.js';

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const struct = (size: number): Uint8Array => new Uint8Array(size);
export const text = (...names: string[]): Uint8Array => Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
export const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

export interface Answer {
  readonly error: number;
  readonly payload: Uint8Array;
}

export class Kernel {
  readonly session: Session;
  readonly channel = new Channel(131_072);
  #unique = 2n;

  constructor(options: ServeOptionsInput = {}, size: { readonly sizeBytes?: number; readonly inodes?: number; readonly inodesMax?: number } = {}) {
    const device = memoryDevice({ sizeBytes: size.sizeBytes ?? 8 * 2 ** 20 });
    const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
    runSync(mkfs(device, size.inodes === undefined ? {} : { inodes: size.inodes }, env));
    const fs = runSync(mount(device, { env }));
    const vfs = createVfs(fs, { umask: 0, env, ...(size.inodesMax === undefined ? {} : { inodesMax: size.inodesMax }) });
    runSync(vfs.core.root());
    const complain = (what: string, error: unknown): void => {
      throw new Error(what, { cause: error });
    };
    this.session = new Session(vfs, checkOptions({ requestBytes: 131_072, ...options }), 4096, complain);
  }

  /** Sends a request; undefined = the server gave no answer. */
  ask(opcode: number, nodeid: number, args: Uint8Array = new Uint8Array(0), uid = 0): Answer | undefined {
    const { channel } = this;
    const header = FuseInHeader.at(channel.input, REQUEST_AT);
    header.len = FuseInHeader.size + args.length;
    header.opcode = opcode;
    header.unique = this.#unique;
    header.nodeid = nodeid;
    header.uid = uid;
    header.gid = uid;
    header.total_extlen = 0;
    channel.input.set(args, REQUEST_AT + FuseInHeader.size);
    // Plain comparisons: tens of thousands of requests go through here.
    if (!channel.begin(header.len)) throw new Error('not a request');
    const length = runSync(handle(this.session, channel));
    if (length === NO_REPLY) return undefined;
    const out = FuseOutHeader.at(channel.reply, REPLY_AT);
    if (out.unique !== this.#unique || out.len !== length) throw new Error(`answer ${out.unique} of ${out.len} bytes`);
    this.#unique += 2n;
    return { error: out.error, payload: channel.reply.slice(REPLY_AT + FuseOutHeader.size, REPLY_AT + length) };
  }

  done(opcode: number, nodeid: number, args?: Uint8Array, uid?: number): Uint8Array {
    const answer = this.ask(opcode, nodeid, args, uid);
    if (answer?.error !== 0) expect(answer?.error).toBe(0);
    return answer?.payload ?? new Uint8Array(0);
  }

  error(opcode: number, nodeid: number, args?: Uint8Array): number | undefined {
    return this.ask(opcode, nodeid, args)?.error;
  }

  make(parent: number, name: string, mode = 0o100644, uid = 0): number {
    const args = join(struct(FuseMknodIn.size), text(name));
    FuseMknodIn.at(args).mode = mode;
    return FuseEntryOut.at(this.done(OP.MKNOD, parent, args, uid)).nodeid;
  }

  lookup(parent: number, name: string): number {
    return FuseEntryOut.at(this.done(OP.LOOKUP, parent, text(name))).nodeid;
  }

  init(flags = 0xffff_ffff, minor = 45): Uint8Array {
    const args = struct(FuseInitIn.size);
    Object.assign(FuseInitIn.at(args), { major: 7, minor, max_readahead: 131_072, flags });
    return this.done(OP.INIT, 0, args);
  }
}
