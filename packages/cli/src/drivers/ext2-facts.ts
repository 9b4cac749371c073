/** What an ext2 superblock says, for `iomap info`: as it stands, unchecked, so that a damaged one can be looked at too. */
import type { ImageFact } from '../drivers.js';
import { isoTime, sizeText, uuidText } from '../format.js';
import { shown } from '../names.js';

const COMPAT = ['dir_prealloc', 'imagic_inodes', 'has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'lazy_bg', 'exclude_inode', 'exclude_bitmap', 'sparse_super2', 'fast_commit', 'stable_inodes', 'orphan_file'];
const INCOMPAT = ['compression', 'filetype', 'needs_recovery', 'journal_dev', 'meta_bg', '', 'extent', '64bit', 'mmp', 'flex_bg', 'ea_inode', '', 'dirdata', 'metadata_csum_seed', 'large_dir', 'inline_data', 'encrypt', 'casefold'];
const RO_COMPAT = ['sparse_super', 'large_file', 'btree_dir', 'huge_file', 'uninit_bg', 'dir_nlink', 'extra_isize', 'snapshot', 'quota', 'bigalloc', 'metadata_csum', 'replica', 'read-only', 'project', 'shared_blocks', 'verity', 'orphan_present'];
const STATES = ['clean', 'errors', 'orphans'];

/** The names of the bits that are set; those without a name by number. */
function bitNames(bits: number, names: readonly string[], set: string): string[] {
  const found: string[] = [];
  for (let n = 0; n < 32; n++) {
    if (Math.floor(bits / 2 ** n) % 2 === 1) found.push((names[n] ?? '') === '' ? `${set}:${n}` : (names[n] ?? ''));
  }
  return found;
}

const time = (sec: number): string => (sec === 0 ? 'never' : isoTime({ sec, nsec: 0 }));

/** @param view the superblock's 1024 bytes */
export function superFacts(view: DataView): ImageFact[] {
  const u16 = (at: number): number => view.getUint16(at, true);
  const u32 = (at: number): number => view.getUint32(at, true);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const textAt = (at: number, length: number): string => {
    const raw = Buffer.from(bytes.subarray(at, at + length)).toString('latin1');
    return shown(raw.replace(/\0.*$/s, ''));
  };
  const logBlock = u32(24);
  const blockSize = logBlock <= 6 ? 1024 * 2 ** logBlock : 0;
  const dynamic = u32(76) >= 1;
  const features = dynamic
    ? [...bitNames(u32(92), COMPAT, 'compat'), ...bitNames(u32(96), INCOMPAT, 'incompat'), ...bitNames(u32(100), RO_COMPAT, 'ro_compat')]
    : [];
  const blocks = u32(4);
  const groups = u32(32) === 0 ? 0 : Math.ceil((blocks - u32(20)) / u32(32));
  const state = bitNames(u16(58), STATES, 'state');
  return [
    { key: 'label', label: 'label', value: textAt(120, 16) },
    { key: 'uuid', label: 'UUID', value: uuidText(bytes.subarray(104, 120)) },
    { key: 'revision', label: 'revision', value: u32(76) },
    { key: 'features', label: 'features', value: features },
    { key: 'state', label: 'state', value: state.includes('clean') && !state.includes('errors') ? 'clean' : `not clean (${state.join(' ')})` },
    { key: 'sizeBytes', label: 'size in bytes', value: blocks * blockSize },
    { key: 'size', label: 'size', value: sizeText(blocks * blockSize) },
    { key: 'blockSize', label: 'block size', value: blockSize },
    { key: 'blocks', label: 'blocks', value: blocks },
    { key: 'blocksFree', label: 'free blocks', value: u32(12) },
    { key: 'blocksReserved', label: 'reserved blocks', value: u32(8) },
    { key: 'inodeSize', label: 'inode size', value: dynamic ? u16(88) : 128 },
    { key: 'inodes', label: 'inodes', value: u32(0) },
    { key: 'inodesFree', label: 'free inodes', value: u32(16) },
    { key: 'groups', label: 'groups', value: groups },
    { key: 'blocksPerGroup', label: 'blocks per group', value: u32(32) },
    { key: 'inodesPerGroup', label: 'inodes per group', value: u32(40) },
    { key: 'created', label: 'created', value: time(u32(264)) },
    { key: 'mounted', label: 'mounted', value: time(u32(44)) },
    { key: 'written', label: 'written', value: time(u32(48)) },
    { key: 'checked', label: 'checked', value: time(u32(64)) },
    { key: 'mounts', label: 'mounts', value: u16(52) },
    { key: 'lastMountedOn', label: 'last mounted on', value: textAt(136, 64) },
  ];
}
