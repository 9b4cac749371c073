/**
 * One request and its reply: two buffers that are used again and again, and the header of the request at hand.
 *
 * Both are laid out so that bulk data is aligned to pages, which is how the kernel copies it: a WRITE's data in the request,
 * what follows the header in the reply. A handler reads its arguments from `at`, writes its answer from `out` on and
 * returns how many bytes it wrote; nothing is copied after that, header and answer go out in one write(2).
 */
import { FuseInHeader, FuseOutHeader, FuseWriteIn } from './abi.js';
import { getCount } from './wire.js';

const PAGE = 4096;
const IN = FuseInHeader.offsets;
const OUT = FuseOutHeader.offsets;
/** Where a request starts in its buffer: the data of a WRITE then starts at a page. */
export const REQUEST_AT = PAGE - FuseInHeader.size - FuseWriteIn.size;
/** Where a reply starts in its buffer. */
export const REPLY_AT = PAGE - FuseOutHeader.size;
/** Room in both beside bulk data: a header, names (two of 4 KiB at most), a list of forgets. */
const EXTRA = 4 * PAGE;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export class Channel {
  /** Largest READ or WRITE, bytes. */
  readonly dataMax: number;
  readonly input: Uint8Array;
  readonly view: DataView;
  /** The same bytes as `input`, for names. */
  readonly #text: Buffer;
  readonly reply: Uint8Array;
  readonly replyView: DataView;
  /** Where the answer's payload starts, in `reply`. */
  readonly out = PAGE;

  // The request at hand.
  opcode = 0;
  nodeid = 0;
  uid = 0;
  gid = 0;
  pid = 0;
  /** Where its arguments start and end, in `input`. */
  at = 0;
  end = 0;
  /** The inodes that the answer makes the kernel know once more. Taken back when the kernel does not take the answer. */
  readonly entered: number[] = [];
  /** Of the answer: 0 or a negative errno. */
  error = 0;

  /** @param dataMax a multiple of 4096 */
  constructor(dataMax: number) {
    this.dataMax = dataMax;
    this.input = new Uint8Array(PAGE + dataMax + EXTRA);
    this.view = viewOf(this.input);
    this.#text = Buffer.from(this.input.buffer, this.input.byteOffset, this.input.byteLength);
    this.reply = new Uint8Array(PAGE + dataMax + EXTRA);
    this.replyView = viewOf(this.reply);
  }

  /** Bytes that a read of the device may fill, from `REQUEST_AT`. */
  get roomBytes(): number {
    return this.input.length - REQUEST_AT;
  }

  /** Reads the header of a request of `length` bytes at `REQUEST_AT`; false = not a whole request. */
  begin(length: number): boolean {
    const { view } = this;
    if (length < FuseInHeader.size || view.getUint32(REQUEST_AT + IN.len, true) !== length) return false;
    this.opcode = view.getUint32(REQUEST_AT + IN.opcode, true);
    this.nodeid = getCount(view, REQUEST_AT + IN.nodeid);
    this.uid = view.getUint32(REQUEST_AT + IN.uid, true);
    this.gid = view.getUint32(REQUEST_AT + IN.gid, true);
    this.pid = view.getUint32(REQUEST_AT + IN.pid, true);
    this.at = REQUEST_AT + FuseInHeader.size;
    // Extensions (security contexts, supplementary groups) lie behind the arguments; none is negotiated.
    this.end = REQUEST_AT + length - view.getUint16(REQUEST_AT + IN.total_extlen, true) * 8;
    // Seldom more than one: setting `length` is a call into the runtime, with every request.
    while (this.entered.length > 0) this.entered.pop();
    this.error = 0;
    return this.end >= this.at;
  }

  /** True when the arguments have at least `size` bytes. */
  has(size: number): boolean {
    return this.end - this.at >= size;
  }

  u32(offset: number): number {
    return this.view.getUint32(this.at + offset, true);
  }

  count(offset: number): number {
    return getCount(this.view, this.at + offset);
  }

  /**
   * The name at `offset` of the arguments, without its NUL, as a byte string. `index`: how many names to pass over first.
   */
  name(offset: number, index = 0): string {
    let from = this.at + offset;
    for (let passed = 0; passed < index; passed++) from = this.#nul(from) + 1;
    const to = this.#nul(from);
    return this.#text.toString('latin1', from, to);
  }

  #nul(from: number): number {
    const to = this.input.indexOf(0, from);
    return to < 0 || to > this.end ? this.end : to;
  }

  /** A part of the request's bytes, no copy: good until the next request. */
  bytes(offset: number, length: number): Uint8Array {
    return this.input.subarray(this.at + offset, this.at + offset + length);
  }

  /** Zeroes the first `size` bytes of the answer, for structures with reserved fields, and says how many they are. */
  clear(size: number): number {
    this.reply.fill(0, this.out, this.out + size);
    return size;
  }

  /** Writes the reply's header. `error`: 0 or a negative errno. @returns bytes of the reply, from `REPLY_AT` */
  finish(payload: number, error: number): number {
    const { view, replyView } = this;
    this.error = error;
    const length = FuseOutHeader.size + (error === 0 ? payload : 0);
    replyView.setUint32(REPLY_AT + OUT.len, length, true);
    replyView.setInt32(REPLY_AT + OUT.error, error, true);
    replyView.setUint32(REPLY_AT + OUT.unique, view.getUint32(REQUEST_AT + IN.unique, true), true);
    replyView.setUint32(REPLY_AT + OUT.unique + 4, view.getUint32(REQUEST_AT + IN.unique + 4, true), true);
    return length;
  }
}
