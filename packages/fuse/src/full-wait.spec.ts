/** Requests that meet a full image while an unlinked file is still to be forgotten. */
import { runSync } from '@iomap/io';
import { FuseForgetIn, FuseInHeader, FuseMknodIn, FuseWriteIn } from './abi.js';
import { Channel, REQUEST_AT } from './channel.js';
import { handle } from './dispatch.js';
import { WAKES } from './control.js';
import { FullWait, REQUESTS_MAX } from './full-wait.js';
import { OP } from './protocol.js';
import { join, Kernel, struct, text } from '../test/kernel.js';

const ENOSPC = -28;
const BLOCK = 65_536;

function writeArgs(pos: number, size = BLOCK): Uint8Array {
  const args = join(struct(FuseWriteIn.size), new Uint8Array(size).fill(7));
  Object.assign(FuseWriteIn.at(args), { offset: pos, size });
  return args;
}

/** A request in a channel of its own, as the loop has it. */
function request(kernel: Kernel, opcode: number, nodeid: number, args: Uint8Array): Channel {
  const channel = new Channel(131_072);
  const header = FuseInHeader.at(channel.input, REQUEST_AT);
  Object.assign(header, { len: FuseInHeader.size + args.length, opcode, unique: 77n, nodeid });
  channel.input.set(args, REQUEST_AT + FuseInHeader.size);
  expect(channel.begin(header.len)).toBe(true);
  runSync(handle(kernel.session, channel));
  return channel;
}

/** A full image with an unlinked file that the kernel has not forgotten, and a file to write to. */
function full(): { kernel: Kernel; unlinked: number; file: number; forget: () => void } {
  const kernel = new Kernel({}, { sizeBytes: 2 ** 20 });
  kernel.init();
  const unlinked = kernel.make(1, 'big');
  const file = kernel.make(1, 'file');
  let pos = 0;
  while (kernel.ask(OP.WRITE, unlinked, writeArgs(pos))?.error === 0) pos += BLOCK;
  while (kernel.ask(OP.WRITE, unlinked, writeArgs(pos, 1024))?.error === 0) pos += 1024;
  kernel.done(OP.UNLINK, 1, text('big'));
  const forget = (): void => {
    const args = struct(FuseForgetIn.size);
    FuseForgetIn.at(args).nlookup = 1;
    expect(kernel.ask(OP.FORGET, unlinked, args)).toBeUndefined();
  };
  return { kernel, unlinked, file, forget };
}

describe('a write on a full image', () => {
  it('waits for the forget of what was unlinked before', () => {
    const { kernel, file, forget } = full();
    let wakes = 0;
    const answers: number[] = [];
    const wait = new FullWait(kernel.session, () => wakes++);
    const channel = request(kernel, OP.WRITE, file, writeArgs(0));
    expect(channel.error).toBe(ENOSPC);
    expect(wait.take(channel)).not.toBe(channel);
    expect([wait.waits, wakes]).toEqual([true, 1]);
    const answer = (answered: Channel): void => void answers.push(answered.error);
    runSync(wait.next(OP.LOOKUP, answer));
    expect(answers).toEqual([]);
    forget();
    runSync(wait.next(OP.FORGET, answer));
    expect(answers).toEqual([0]);
    expect(wait.waits).toBe(false);
  });

  it.each([
    ['after the calls of the supervisor', OP.STATFS, WAKES],
    ['after enough other requests', OP.LOOKUP, REQUESTS_MAX],
  ])('is told ENOSPC when nothing comes back: %s', (_what, opcode, count) => {
    const { kernel, file } = full();
    const answers: number[] = [];
    const wait = new FullWait(kernel.session, () => undefined);
    wait.take(request(kernel, OP.WRITE, file, writeArgs(0)));
    for (let i = 0; i < count; i++) {
      expect(answers).toEqual([]);
      runSync(wait.next(opcode, (answered) => void answers.push(answered.error)));
    }
    expect(answers).toEqual([ENOSPC]);
    expect(wait.waits).toBe(false);
  });

  it('is told at once when nobody is to be forgotten, or when too many wait; the end answers all', () => {
    const { kernel, file, forget } = full();
    const wait = new FullWait(kernel.session, () => undefined);
    const answers: number[] = [];
    for (let i = 0; i < 4; i++) wait.take(request(kernel, OP.WRITE, file, writeArgs(0)));
    const fifth = request(kernel, OP.WRITE, file, writeArgs(0));
    expect(wait.take(fifth)).toBe(fifth);
    runSync(wait.end((answered) => void answers.push(answered.error)));
    expect(answers).toEqual([ENOSPC, ENOSPC, ENOSPC, ENOSPC]);
    forget();
    const mknod = join(struct(FuseMknodIn.size), text('new'));
    FuseMknodIn.at(mknod).mode = 0o100644;
    expect(request(kernel, OP.MKNOD, 1, mknod).error).toBe(0);
  });

  it('leaves errors that are told once to the call that met them', () => {
    const { kernel, file } = full();
    const wait = new FullWait(kernel.session, () => undefined);
    const channel = request(kernel, OP.WRITE, file, writeArgs(0));
    channel.opcode = OP.FSYNC;
    expect(wait.take(channel)).toBe(channel);
  });
});
