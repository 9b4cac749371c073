/**
 * From records to transactions: operations are regions of bytes, a region may go on in the next record, several regions make an
 * item, the items of a transaction count once its commit is in the log.
 */
import { corrupt, type FsError } from '@iomap/io';
import { CLIENT_LOG, CLIENT_TRANSACTION, OP, OP_BYTES, TRANS_HEADER_BYTES, TRANS_MAGIC } from '../ondisk-log.js';

/** Regions that an item can have: those of a 64 KiB buffer with every second chunk changed. */
const REGIONS_MAX = 257;
/** Transactions open at once: the log's tickets are far fewer. */
const OPEN_MAX = 4096;

export interface LogItem {
  readonly type: number;
  /** How many regions its first one announces. */
  readonly total: number;
  readonly regions: Uint8Array[];
}

export interface Transaction {
  /** LSN of the record that it began in. */
  readonly lsn: bigint;
  readonly items: readonly LogItem[];
}

interface Open {
  readonly lsn: bigint;
  readonly items: LogItem[];
  /** Bytes of the transaction's header seen so far. */
  header: Uint8Array;
}

const bad = (why: string, field: string): FsError => corrupt(`log: ${why}`, { field });

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

export class Transactions {
  readonly #open = new Map<number, Open>();

  /** Takes a record's data; answers the transactions that it commits, in order. @throws FsError EUCLEAN */
  take(lsn: bigint, data: Uint8Array, opCount: number): Transaction[] {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const done: Transaction[] = [];
    let at = 0;
    for (let i = 0; i < opCount && at < data.length; i++) {
      if (at + OP_BYTES > data.length) throw bad('an operation is cut short', 'oh_len');
      const tid = view.getUint32(at);
      const length = view.getUint32(at + 4);
      const client = view.getUint8(at + 8);
      const flags = view.getUint8(at + 9);
      if (client !== CLIENT_TRANSACTION && client !== CLIENT_LOG) throw bad(`an operation of client ${client}`, 'oh_clientid');
      at += OP_BYTES;
      if (at + length > data.length) throw bad('an operation reaches beyond its record', 'oh_len');
      const finished = this.#operation(tid, lsn, flags, data.subarray(at, at + length));
      if (finished !== undefined) done.push(finished);
      at += length;
    }
    return done;
  }

  #operation(tid: number, lsn: bigint, flags: number, bytes: Uint8Array): Transaction | undefined {
    const open = this.#open.get(tid);
    if (open === undefined) {
      // Operations of a transaction that began before the tail: all of it is on disk.
      if ((flags & OP.START) === 0) return undefined;
      if (bytes.length !== 0) throw bad('a transaction starts with bytes', 'oh_len');
      if (this.#open.size >= OPEN_MAX) throw bad('too many transactions are open', 'oh_tid');
      this.#open.set(tid, { lsn, items: [], header: new Uint8Array(0) });
      return undefined;
    }
    let kind = flags & ~OP.END;
    if ((kind & OP.WAS_CONT) !== 0) kind &= ~OP.CONTINUE;
    switch (kind) {
      case 0:
      case OP.CONTINUE:
        this.#add(open, bytes);
        return undefined;
      case OP.WAS_CONT:
        this.#append(open, bytes);
        return undefined;
      case OP.COMMIT:
        this.#open.delete(tid);
        return open;
      case OP.UNMOUNT:
        this.#open.delete(tid);
        return undefined;
      default:
        throw bad(`an operation with flags 0x${flags.toString(16)}`, 'oh_flags');
    }
  }

  #add(open: Open, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (open.header.length < TRANS_HEADER_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (open.header.length > 0 || bytes.length > TRANS_HEADER_BYTES) throw bad('a transaction without a header', 'th_magic');
      if (bytes.length >= 4 && view.getUint32(0, true) !== TRANS_MAGIC) throw bad('a transaction without a header', 'th_magic');
      open.header = bytes.slice();
      return;
    }
    const last = open.items.at(-1);
    if (last !== undefined && last.regions.length < last.total) {
      last.regions.push(bytes.slice());
      return;
    }
    if (bytes.length < 4) throw bad('an item without a type', 'type');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const total = view.getUint16(2, true);
    if (total === 0 || total > REGIONS_MAX) throw bad(`an item of ${total} regions`, 'size');
    open.items.push({ type: view.getUint16(0, true), total, regions: [bytes.slice()] });
  }

  #append(open: Open, bytes: Uint8Array): void {
    if (open.header.length < TRANS_HEADER_BYTES) {
      const whole = joined(open.header, bytes);
      if (whole.length !== TRANS_HEADER_BYTES) throw bad('a transaction without a header', 'th_magic');
      open.header = whole;
      return;
    }
    const regions = open.items.at(-1)?.regions;
    const last = regions?.pop();
    if (regions === undefined || last === undefined) throw bad('a region goes on that never began', 'oh_flags');
    regions.push(joined(last, bytes));
  }
}
