/** Log records: headers checked, data verified and put back as it was before the cycle numbers were written over its words. */
import { corrupt, FsError, type Io } from '@iomap/io';
import { CRC32C_SEED, crc32cUpdate } from '../crc32c.js';
import {
  BB,
  EXT_HEADER_BYTES,
  FORMAT_LITTLE_ENDIAN,
  HEADER_CYCLE_BYTES,
  HEADER_SUM_BYTES,
  REC_MAGIC,
  RECORD_BYTES_MAX,
  RecHeader,
} from '../ondisk-log.js';
import type { LogRing } from './ring.js';

export interface Header {
  /** Where it is in the ring. */
  readonly block: number;
  readonly cycle: number;
  readonly lsn: bigint;
  readonly tailLsn: bigint;
  readonly lengthBytes: number;
  readonly opCount: number;
  /** Blocks of headers before the data. */
  readonly headerBlocks: number;
  readonly dataBlocks: number;
  readonly format: number;
  readonly uuid: Uint8Array;
}

const bad = (block: number, why: string, field: string): FsError => corrupt(`log: ${why} (basic block ${block})`, { field });

export const isHeader = (bytes: Uint8Array, at = 0): boolean =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at) === REC_MAGIC;

/** Checks a header. @throws FsError EUCLEAN */
export function decodeHeader(bytes: Uint8Array, block: number): Header {
  const view = RecHeader.at(bytes);
  if (view.h_magicno !== REC_MAGIC) throw bad(block, 'no record where one should be', 'h_magicno');
  const version = view.h_version;
  if (version === 0 || version > 3) throw bad(block, `a record of version ${version}`, 'h_version');
  const isV2 = (version & 2) !== 0;
  const lengthBytes = view.h_len;
  if (lengthBytes === 0 || lengthBytes > RECORD_BYTES_MAX) throw bad(block, `a record of ${lengthBytes} bytes`, 'h_len');
  // Some versions of mkfs left a size that their own records exceed.
  const size = isV2 ? Math.max(view.h_size, 1) : HEADER_CYCLE_BYTES;
  if (size > RECORD_BYTES_MAX) throw bad(block, `records of up to ${size} bytes`, 'h_size');
  return {
    block,
    cycle: view.h_cycle,
    lsn: view.h_lsn,
    tailLsn: view.h_tail_lsn,
    lengthBytes,
    opCount: view.h_num_logops,
    headerBlocks: isV2 && size > HEADER_CYCLE_BYTES ? Math.ceil(size / HEADER_CYCLE_BYTES) : 1,
    dataBlocks: Math.ceil(lengthBytes / BB),
    format: view.h_fmt,
    uuid: view.h_fs_uuid.slice(),
  };
}

/** Reads and checks the header at a block. @throws FsError EUCLEAN, EIO */
export function* readHeader(ring: LogRing, block: number): Io<Header> {
  return decodeHeader(yield* ring.read(block, 1), block);
}

function sumOf(headers: Uint8Array, data: Uint8Array, lengthBytes: number, headerBytes: number): number {
  const field = RecHeader.offsets.h_crc;
  let sum = crc32cUpdate(CRC32C_SEED, headers, 0, field);
  sum = crc32cUpdate(sum, new Uint8Array(4));
  sum = crc32cUpdate(sum, headers, field + 4, headerBytes);
  // Only the headers that the data's length needs count, not all that there is room for.
  const used = Math.ceil(lengthBytes / HEADER_CYCLE_BYTES);
  for (let i = 1; i < used && (i + 1) * BB <= headers.length; i++) sum = crc32cUpdate(sum, headers, i * BB, i * BB + EXT_HEADER_BYTES);
  return ~crc32cUpdate(sum, data, 0, lengthBytes) >>> 0;
}

export interface RecordRead {
  readonly data: Uint8Array;
  readonly sumMatches: boolean;
}

/**
 * Reads a record's data, whole words restored.
 * @param hasSum version 5: the checksum counts; version 4 may have none (zero)
 */
export function* readRecord(ring: LogRing, header: Header, hasSum: boolean): Io<RecordRead> {
  const { block, headerBlocks, dataBlocks, lengthBytes } = header;
  if (headerBlocks + dataBlocks > ring.length) throw bad(block, 'a record larger than the log', 'h_len');
  const headers = yield* ring.read(block, headerBlocks);
  const data = yield* ring.read(ring.wrap(block + headerBlocks), dataBlocks);
  const stored = new DataView(headers.buffer, headers.byteOffset).getUint32(RecHeader.offsets.h_crc, true);
  const sumMatches =
    (stored === 0 && !hasSum) || HEADER_SUM_BYTES.some((length) => sumOf(headers, data, lengthBytes, length) === stored);
  for (let i = 0; i < dataBlocks; i++) {
    const ext = Math.floor(i / 64);
    const from = ext === 0 ? RecHeader.offsets.h_cycle_data + i * 4 : ext * BB + 4 + (i % 64) * 4;
    if (from + 4 > headers.length) throw bad(block, 'a record with too few headers', 'h_size');
    data.set(headers.subarray(from, from + 4), i * BB);
  }
  return { data: data.subarray(0, lengthBytes), sumMatches };
}

/** @throws FsError EUCLEAN (another filesystem's), EOPNOTSUPP (byte order) */
export function checkOrigin(header: Header, uuid: Uint8Array): void {
  if (header.format !== FORMAT_LITTLE_ENDIAN) {
    throw new FsError('EOPNOTSUPP', { why: `a log written in another byte order (h_fmt ${header.format})`, detail: { field: 'h_fmt' } });
  }
  const isNull = header.uuid.every((byte) => byte === 0);
  if (!isNull && header.uuid.some((byte, i) => byte !== uuid[i])) throw bad(header.block, "another filesystem's record", 'h_fs_uuid');
}
