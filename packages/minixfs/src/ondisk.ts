/**
 * The minix on-disk structures and constants, in the names that Linux's headers use.
 *
 * Each structure is declared once for both byte orders (`both`); `ondisk.spec.ts` holds the tables against a list of its own.
 */
import { layout, type ByteOrder, type FieldTable, type Layout, type View } from '@iomap/buffer-cache';

/** Where the superblock is, whatever the block size. */
export const SUPER_POS = 1024;
export const SUPER_BYTES = 1024;

export const MAGIC_V1 = 0x137f;
export const MAGIC_V1_30 = 0x138f;
export const MAGIC_V2 = 0x2468;
export const MAGIC_V2_30 = 0x2478;
export const MAGIC_V3 = 0x4d5a;

/** Bits of `s_state` (versions 1 and 2). */
export const STATE_VALID = 1;
export const STATE_ERROR = 2;

export const ROOT_INO = 1;
/** The first blocks of every image: boot block and superblock. */
export const BITMAP_BLOCK = 2;
export const DIRECT_ZONES = 7;

export const LINK_MAX_V1 = 250;
export const LINK_MAX_V2 = 65_530;

export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

/** A structure's table in both byte orders. */
export interface BothOrders<T extends FieldTable> {
  readonly le: Layout<T>;
  readonly be: Layout<T>;
  in(littleEndian: boolean): Layout<T>;
}

function both<const T extends FieldTable>(name: string, size: number, table: T): BothOrders<T> {
  const make = (order: ByteOrder): Layout<T> => layout(name, size, order, table);
  const le = make('le');
  const be = make('be');
  return { le, be, in: (littleEndian) => (littleEndian ? le : be) };
}

/** Versions 1 and 2. */
export const MinixSuper = both('minix_super_block', 24, {
  s_ninodes: [0x00, 'u16'],
  s_nzones: [0x02, 'u16'],
  s_imap_blocks: [0x04, 'u16'],
  s_zmap_blocks: [0x06, 'u16'],
  s_firstdatazone: [0x08, 'u16'],
  s_log_zone_size: [0x0a, 'u16'],
  s_max_size: [0x0c, 'u32'],
  s_magic: [0x10, 'u16'],
  s_state: [0x12, 'u16'],
  s_zones: [0x14, 'u32'],
});

export const Minix3Super = both('minix3_super_block', 31, {
  s_ninodes: [0x00, 'u32'],
  s_pad0: [0x04, 'u16'],
  s_imap_blocks: [0x06, 'u16'],
  s_zmap_blocks: [0x08, 'u16'],
  s_firstdatazone: [0x0a, 'u16'],
  s_log_zone_size: [0x0c, 'u16'],
  s_pad1: [0x0e, 'u16'],
  s_max_size: [0x10, 'u32'],
  s_zones: [0x14, 'u32'],
  s_magic: [0x18, 'u16'],
  s_pad2: [0x1a, 'u16'],
  s_blocksize: [0x1c, 'u16'],
  s_disk_version: [0x1e, 'u8'],
});

export const MinixInodeV1 = both('minix_inode', 32, {
  i_mode: [0x00, 'u16'],
  i_uid: [0x02, 'u16'],
  i_size: [0x04, 'u32'],
  i_time: [0x08, 'u32'],
  i_gid: [0x0c, 'u8'],
  i_nlinks: [0x0d, 'u8'],
  i_zone: [0x0e, 'u16', 9],
});

/** Versions 2 and 3. */
export const MinixInodeV2 = both('minix2_inode', 64, {
  i_mode: [0x00, 'u16'],
  i_nlinks: [0x02, 'u16'],
  i_uid: [0x04, 'u16'],
  i_gid: [0x06, 'u16'],
  i_size: [0x08, 'u32'],
  i_atime: [0x0c, 'u32'],
  i_mtime: [0x10, 'u32'],
  i_ctime: [0x14, 'u32'],
  i_zone: [0x18, 'u32', 10],
});

export type MinixSuperView = View<typeof MinixSuper extends BothOrders<infer T> ? T : never>;
export type Minix3SuperView = View<typeof Minix3Super extends BothOrders<infer T> ? T : never>;
export type Version = 1 | 2 | 3;

/** What a magic number says. */
export interface Variant {
  readonly version: Version;
  readonly nameMax: number;
  readonly magic: number;
}

export const VARIANTS: readonly Variant[] = [
  { version: 1, nameMax: 14, magic: MAGIC_V1 },
  { version: 1, nameMax: 30, magic: MAGIC_V1_30 },
  { version: 2, nameMax: 14, magic: MAGIC_V2 },
  { version: 2, nameMax: 30, magic: MAGIC_V2_30 },
  { version: 3, nameMax: 60, magic: MAGIC_V3 },
];
