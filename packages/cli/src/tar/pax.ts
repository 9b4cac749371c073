/**
 * PAX extended headers (POSIX.1-2001), as bytes: `LENGTH KEY=VALUE\n` records whose values may be anything.
 *
 * Keys and values are byte strings, so that names that are not UTF-8 and binary xattrs pass unharmed. A list, not a map:
 * GNU's sparse format 0.0 repeats its keys.
 */
import type { Timespec } from '@iomap/io';
import type { Name } from '@iomap/vfs';

export interface PaxRecord {
  readonly key: Name;
  readonly value: Name;
}

/** Reads records. @returns undefined when they are damaged */
export function decodePax(bytes: Buffer): PaxRecord[] | undefined {
  const records: PaxRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    if (space < 0 || space - at > 12) return undefined;
    const digits = bytes.toString('latin1', at, space);
    if (!/^[0-9]+$/.test(digits)) return undefined;
    const end = at + Number(digits);
    const equals = bytes.indexOf(0x3d, space);
    if (end > bytes.length || equals < 0 || equals >= end || end <= space + 1 || bytes[end - 1] !== 0x0a) return undefined;
    records.push({
      key: bytes.toString('latin1', space + 1, equals),
      value: bytes.toString('latin1', equals + 1, end - 1),
    });
    at = end;
  }
  return records;
}

/** One record; its length counts its own digits. */
export function encodeRecord(key: Name, value: Name): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.from(`${length} ${key}=${value}\n`, 'latin1');
}

/** A decimal time, as PAX has it: whole nanoseconds, `.5` exact, negative ones too. */
export function formatTime({ sec, nsec }: Timespec): string {
  if (nsec === 0) return String(sec);
  const negative = sec < 0;
  const whole = negative ? -(sec + 1) : sec;
  const part = negative ? 1_000_000_000 - nsec : nsec;
  return `${negative ? '-' : ''}${whole}.${String(part).padStart(9, '0').replace(/0+$/, '')}`;
}

/** Reads a decimal time; digits past the nanosecond are dropped. @returns undefined when it is not a time */
export function parseTime(text: string): Timespec | undefined {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) return undefined;
  const whole = Number(match[2]);
  const nsec = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { sec: whole, nsec };
  return nsec === 0 ? { sec: 0 - whole, nsec: 0 } : { sec: -whole - 1, nsec: 1_000_000_000 - nsec };
}
