/**
 * Partition tables: GPT (UEFI specification, chapter 5) and MBR with extended partitions.
 *
 * - A GPT counts where a protective entry of the MBR says so. The header's and the table's CRC are checked; where the
 *   primary is bad, the backup in the last sector is used.
 * - Positions in a GPT are in the logical sectors of the disk it was made on: the device's own size is tried first, then
 *   512 and 4096, so that an image of a 4096-byte-sector disk opens as a plain file.
 * - Numbers are Linux's: 1-4 primary, from 5 logical, a GPT's slot + 1.
 * - Everything read is bounded: table bytes, entries, the chain of extended boot records.
 */
import { corrupt, FsError, roundDown, roundUp, submitBio, type FsErrorDetail, type Io } from '@iomap/io';
import { crc32 } from './crc32.js';
import type { BlockDevice } from './device.js';

export interface Partition {
  /** As in `/dev/sda2`. */
  readonly number: number;
  readonly scheme: 'gpt' | 'mbr';
  /** Bytes. As on disk: `partitionDevice` refuses what is not on the device. */
  readonly pos: number;
  readonly sizeBytes: number;
  /** GPT: the type GUID in lower case; MBR: the type byte as `0x83`. */
  readonly type: string;
  /** GPT: the partition's own GUID; MBR: none. */
  readonly uuid?: string;
  /** GPT: its name; MBR: empty. */
  readonly label: string;
  /** MBR: the active flag; GPT: the "legacy BIOS bootable" attribute. */
  readonly bootable: boolean;
  /** An MBR container of logical partitions: holds no filesystem. */
  readonly extended: boolean;
}

const GPT_TABLE_BYTES_MAX = 2 ** 20;
const GPT_ENTRY_BYTES_MAX = 4096;
/** As in Linux: more logical partitions than this are a loop or a joke. */
const LOGICAL_MAX = 100;
const MBR_ENTRIES = 446;
const MBR_SIGNATURE = 510;
const PROTECTIVE = 0xee;
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85];

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** `length` bytes from `pos`, whatever the device's sectors; undefined when they are not all on the device. */
function* readBytes(device: BlockDevice, pos: number, length: number): Io<Uint8Array | undefined> {
  const from = roundDown(pos, device.sectorSize);
  const to = roundUp(pos + length, device.sectorSize);
  if (pos < 0 || to > device.sizeBytes) return undefined;
  const bytes = new Uint8Array(to - from);
  yield* submitBio(device, { op: 'read', pos: from, segments: [bytes], lengthBytes: bytes.length });
  return bytes.subarray(pos - from, pos - from + length);
}

interface MbrEntry {
  readonly status: number;
  readonly type: number;
  readonly start: number;
  readonly sectors: number;
}

/** The four entries of a boot record; undefined where there is no table (no signature, or the flags make no sense). */
function decodeMbr(sector: Uint8Array): MbrEntry[] | undefined {
  const view = viewOf(sector);
  if (view.getUint16(MBR_SIGNATURE, true) !== 0xaa55) return undefined;
  const entries = [0, 1, 2, 3].map((i) => {
    const at = MBR_ENTRIES + i * 16;
    return {
      status: view.getUint8(at),
      type: view.getUint8(at + 4),
      start: view.getUint32(at + 8, true),
      sectors: view.getUint32(at + 12, true),
    };
  });
  // The boot sector of a filesystem has the same signature, but code where the flags would be.
  return entries.every((entry) => entry.status % 0x80 === 0) ? entries : undefined;
}

const mbrPartition = (number: number, entry: MbrEntry, start: number, unit: number): Partition => ({
  number,
  scheme: 'mbr',
  pos: start * unit,
  sizeBytes: entry.sectors * unit,
  type: `0x${entry.type.toString(16).padStart(2, '0')}`,
  label: '',
  bootable: entry.status === 0x80,
  extended: EXTENDED_TYPES.includes(entry.type),
});

/** Walks the chain of extended boot records in `container` (positions in sectors). */
function* readLogical(device: BlockDevice, container: MbrEntry, number: number, found: Partition[]): Io<void> {
  const unit = device.sectorSize;
  const seen = new Set<number>();
  let at = container.start;
  for (let count = 0; ; count++) {
    const detail: FsErrorDetail = { device: device.name, pos: at * unit };
    if (count === LOGICAL_MAX || seen.has(at)) throw corrupt('a loop of extended boot records', detail);
    seen.add(at);
    const sector = yield* readBytes(device, at * unit, 512);
    const entries = sector === undefined ? undefined : decodeMbr(sector);
    if (entries === undefined) {
      if (count === 0) return; // a container that nothing was put in yet
      throw corrupt('an extended boot record is missing', detail);
    }
    const data = entries.find((one) => one.sectors !== 0 && one.type !== 0 && !EXTENDED_TYPES.includes(one.type));
    if (data !== undefined) found.push(mbrPartition(number++, data, at + data.start, unit));
    const link = entries.find((one) => one.sectors !== 0 && EXTENDED_TYPES.includes(one.type));
    if (link === undefined) return;
    if (link.start >= container.sectors) throw corrupt('an extended boot record is outside its container', detail);
    at = container.start + link.start;
  }
}

function* readMbr(device: BlockDevice, entries: readonly MbrEntry[]): Io<Partition[]> {
  const found: Partition[] = [];
  const containers: MbrEntry[] = [];
  entries.forEach((entry, i) => {
    if (entry.type === 0 || entry.sectors === 0) return;
    found.push(mbrPartition(i + 1, entry, entry.start, device.sectorSize));
    if (EXTENDED_TYPES.includes(entry.type)) containers.push(entry);
  });
  for (const container of containers) {
    yield* readLogical(device, container, Math.max(5, (found.at(-1)?.number ?? 0) + 1), found);
  }
  return found;
}

/** Mixed-endian, as Microsoft prints them. */
function formatGuid(view: DataView, at: number): string {
  const hex = (from: number, to: number): string => {
    let text = '';
    for (let i = from; i < to; i++) text += view.getUint8(at + i).toString(16).padStart(2, '0');
    return text;
  };
  const first = view.getUint32(at, true).toString(16).padStart(8, '0');
  const [second, third] = [4, 6].map((i) => view.getUint16(at + i, true).toString(16).padStart(4, '0'));
  return `${first}-${second}-${third}-${hex(8, 10)}-${hex(10, 16)}`;
}

/** A 64-bit LBA; undefined when it is beyond every device. */
function lbaAt(view: DataView, at: number): number | undefined {
  const high = view.getUint32(at + 4, true);
  return high > 0xfffff ? undefined : high * 2 ** 32 + view.getUint32(at, true);
}

const EMPTY_GUID = '00000000-0000-0000-0000-000000000000';

function decodeGptEntries(table: Uint8Array, entryBytes: number, unit: number, device: string): Partition[] {
  const found: Partition[] = [];
  const view = viewOf(table);
  for (let at = 0, number = 1; at + entryBytes <= table.length; at += entryBytes, number++) {
    const type = formatGuid(view, at);
    if (type === EMPTY_GUID) continue;
    const first = lbaAt(view, at + 32);
    const last = lbaAt(view, at + 40);
    if (first === undefined || last === undefined || last < first) {
      throw corrupt(`GPT partition ${number} has no valid range`, { device, field: 'StartingLBA' });
    }
    let label = '';
    for (let i = 56; i < 128; i += 2) {
      const unit16 = view.getUint16(at + i, true);
      if (unit16 === 0) break;
      label += String.fromCharCode(unit16);
    }
    found.push({
      number,
      scheme: 'gpt',
      pos: first * unit,
      sizeBytes: (last - first + 1) * unit,
      type,
      uuid: formatGuid(view, at + 16),
      label,
      bootable: Math.floor(view.getUint8(at + 48) / 4) % 2 === 1,
      extended: false,
    });
  }
  return found;
}

/** What is wrong with a GPT header, or where its table is. */
type GptHeader =
  | { readonly ok: false; readonly error: FsError; readonly found: boolean }
  | { readonly ok: true; readonly tableLba: number; readonly count: number; readonly bytes: number; readonly crc: number };

function decodeGptHeader(sector: Uint8Array, lba: number, device: string, unit: number): GptHeader {
  const view = viewOf(sector);
  const detail = { device, pos: lba * unit };
  const bad = (why: string, code: 'EUCLEAN' | 'EBADMSG' = 'EUCLEAN', found = true): GptHeader => ({
    ok: false,
    found,
    error: new FsError(code, { why, detail }),
  });
  // "EFI PART"
  if (view.getUint32(0, true) !== 0x20494645 || view.getUint32(4, true) !== 0x54524150) {
    return bad('no GPT header', 'EUCLEAN', false);
  }
  const headerBytes = view.getUint32(12, true);
  if (headerBytes < 92 || headerBytes > sector.length) return bad(`GPT header of ${headerBytes} bytes`);
  const copy = sector.slice(0, headerBytes);
  copy.fill(0, 16, 20);
  if (crc32(copy) !== view.getUint32(16, true)) return bad('GPT header', 'EBADMSG');
  if (lbaAt(view, 24) !== lba) return bad('the GPT header says that it is elsewhere');
  const tableLba = lbaAt(view, 72);
  const count = view.getUint32(80, true);
  const bytes = view.getUint32(84, true);
  if (tableLba === undefined) return bad('GPT table out of range');
  if (bytes < 128 || bytes > GPT_ENTRY_BYTES_MAX || bytes % 8 !== 0) return bad(`GPT entries of ${bytes} bytes`);
  if (count * bytes > GPT_TABLE_BYTES_MAX) return bad(`GPT with ${count} entries`);
  return { ok: true, tableLba, count, bytes, crc: view.getUint32(88, true) };
}

/** The partitions of the GPT whose header is at `lba`, or what is wrong with it. */
function* readGptAt(
  device: BlockDevice,
  lba: number,
  unit: number,
): Io<Partition[] | { readonly error: FsError; readonly found: boolean }> {
  const detail = { device: device.name, pos: lba * unit };
  const sector = yield* readBytes(device, lba * unit, unit);
  if (sector === undefined) return { error: corrupt('no GPT header', detail), found: false };
  const header = decodeGptHeader(sector, lba, device.name, unit);
  if (!header.ok) return header;
  const table = yield* readBytes(device, header.tableLba * unit, header.count * header.bytes);
  if (table === undefined) return { error: corrupt('GPT table out of range', detail), found: true };
  if (crc32(table) !== header.crc) return { error: new FsError('EBADMSG', { why: 'GPT table', detail }), found: true };
  return decodeGptEntries(table, header.bytes, unit, device.name);
}

function* readGpt(device: BlockDevice): Io<Partition[]> {
  let error: FsError | undefined;
  for (const unit of new Set([device.sectorSize, 512, 4096])) {
    for (const lba of [1, Math.floor(device.sizeBytes / unit) - 1]) {
      if (lba < 1) continue;
      const result = yield* readGptAt(device, lba, unit);
      if (Array.isArray(result)) return result;
      // The most telling error: of a header that is there but bad.
      if (error === undefined || result.found) error = result.error;
    }
  }
  throw error ?? corrupt('no GPT where the MBR announces one', { device: device.name });
}

/**
 * The partitions of a device in table order, logical ones last; none when there is no partition table.
 * Waits on: reads of the device, at most 4 + `LOGICAL_MAX` of a sector and six of a table.
 * @throws FsError EUCLEAN or EBADMSG on a table that is there but broken (GPT: both copies); the device's own
 */
export function* readPartitions(device: BlockDevice): Io<Partition[]> {
  const sector = yield* readBytes(device, 0, 512);
  const entries = sector === undefined ? undefined : decodeMbr(sector);
  if (entries === undefined) return [];
  if (entries.some((entry) => entry.type === PROTECTIVE)) return yield* readGpt(device);
  return yield* readMbr(device, entries);
}
