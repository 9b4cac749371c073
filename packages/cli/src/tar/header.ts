/**
 * One 512-byte tar header: ustar (POSIX.1-1988), and on reading GNU's and v7's variants too.
 *
 * Names are byte strings. Numbers that do not fit their octal field are base-256 on reading; on writing the field holds
 * what fits and a PAX record holds the truth (pax.ts).
 */
import type { Name } from '@iomap/vfs';

export const BLOCK = 512;

export interface TarHeader {
  readonly name: Name;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow. */
  readonly size: number;
  /** Seconds. */
  readonly mtime: number;
  /** The type flag, one character; '\0' is read as '0'. */
  readonly type: string;
  readonly linkName: Name;
  readonly devMajor: number;
  readonly devMinor: number;
}

const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

type FieldName = keyof typeof FIELD;

const bytesOf = (block: Buffer, field: FieldName): Buffer => {
  const [at, length] = FIELD[field];
  return block.subarray(at, at + length);
};

function readString(bytes: Buffer): Name {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

/** A numeric field: octal text, or base-256 when its first bit is set (two's complement). NaN when it is neither. */
export function readNumber(bytes: Buffer): number {
  const first = bytes[0] ?? 0;
  if (first >= 0x80) {
    let value = first === 0xff ? -1 : first & 0x7f;
    for (let i = 1; i < bytes.length; i++) value = value * 256 + (bytes[i] ?? 0);
    return value;
  }
  const text = readString(bytes).trim();
  if (text === '') return 0;
  return /^[0-7]+$/.test(text) ? parseInt(text, 8) : Number.NaN;
}

/** The sum of all bytes, the checksum field counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return sum;
}

/** Whether the block ends an archive. */
export const isZeroBlock = (block: Buffer): boolean => block.every((byte) => byte === 0);

/**
 * Reads a header.
 * @param block 512 bytes
 * @returns undefined when this is no tar header (checksum or number fields do not hold)
 */
export function decodeHeader(block: Buffer): TarHeader | undefined {
  if (readNumber(bytesOf(block, 'checksum')) !== checksum(block)) return undefined;
  const magic = bytesOf(block, 'magic').toString('latin1');
  const typeByte = bytesOf(block, 'type').toString('latin1');
  let name = readString(bytesOf(block, 'name'));
  // GNU's own format has other fields where ustar has its prefix.
  if (magic.startsWith('ustar\0')) {
    const prefix = readString(bytesOf(block, 'prefix'));
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  const numbers = {
    mode: readNumber(bytesOf(block, 'mode')),
    uid: readNumber(bytesOf(block, 'uid')),
    gid: readNumber(bytesOf(block, 'gid')),
    size: readNumber(bytesOf(block, 'size')),
    mtime: readNumber(bytesOf(block, 'mtime')),
    devMajor: magic.startsWith('ustar') ? readNumber(bytesOf(block, 'devMajor')) : 0,
    devMinor: magic.startsWith('ustar') ? readNumber(bytesOf(block, 'devMinor')) : 0,
  };
  if (Object.values(numbers).some((value) => !Number.isSafeInteger(value)) || numbers.size < 0) return undefined;
  const type = typeByte === '\0' ? '0' : typeByte;
  return { ...numbers, name, type, linkName: readString(bytesOf(block, 'linkName')) };
}

const octalFits = (value: number, digits: number): boolean =>
  Number.isSafeInteger(value) && value >= 0 && value < 8 ** digits;

/** Which numbers a ustar header holds exactly; the others need a PAX record. */
export const fits = {
  id: (value: number): boolean => octalFits(value, 7),
  size: (value: number): boolean => octalFits(value, 11),
  seconds: (value: number): boolean => octalFits(value, 11),
} as const;

/** Splits a path for `prefix` and `name`; undefined when it does not fit. */
export function splitName(name: Name): { prefix: Name; name: Name } | undefined {
  if (name.length <= 100) return { prefix: '', name };
  if (name.length > 256) return undefined;
  for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
    if (slash > 155) return undefined;
    if (slash > 0 && name.length - slash - 1 <= 100 && slash < name.length - 1) {
      return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
    }
  }
  return undefined;
}

function writeNumber(block: Buffer, field: FieldName, value: number): void {
  const [at, length] = FIELD[field];
  const digits = length - 1;
  const text = octalFits(value, digits) ? value.toString(8) : '0';
  block.write(text.padStart(digits, '0'), at, 'latin1');
}

/** Writes a header; what does not fit is cut (the caller has put it in a PAX record). */
export function encodeHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(BLOCK);
  const split = splitName(header.name) ?? { prefix: '', name: header.name.slice(0, 100) };
  block.write(split.name, FIELD.name[0], FIELD.name[1], 'latin1');
  block.write(split.prefix, FIELD.prefix[0], FIELD.prefix[1], 'latin1');
  writeNumber(block, 'mode', header.mode);
  writeNumber(block, 'uid', header.uid);
  writeNumber(block, 'gid', header.gid);
  writeNumber(block, 'size', header.size);
  writeNumber(block, 'mtime', header.mtime);
  block.write(header.type, FIELD.type[0], 'latin1');
  block.write(header.linkName.slice(0, 100), FIELD.linkName[0], 'latin1');
  block.write('ustar\x0000', FIELD.magic[0], 'latin1');
  writeNumber(block, 'devMajor', header.devMajor);
  writeNumber(block, 'devMinor', header.devMinor);
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, FIELD.checksum[0], 'latin1');
  return block;
}

/** Bytes to add after `size` bytes so that the next header starts at a block. */
export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;
