/** What an XFS superblock says, for `iomap info`: as it stands, unchecked, so that a damaged one can be looked at too. */
import type { RawSuper } from '@iomap/xfs-lite';
import type { ImageFact } from '../drivers.js';
import { sizeText, uuidText } from '../format.js';
import { shown } from '../names.js';

/** @param log what the log says, where it could be read */
export function xfsFacts(raw: RawSuper, log: string): ImageFact[] {
  const { fields, features } = raw;
  const n = (name: string): number => {
    const value = fields[name];
    return typeof value === 'number' ? value : 0;
  };
  const bytesOf = (name: string): Uint8Array => Buffer.from(String(fields[name] ?? ''), 'hex');
  const label = Buffer.from(bytesOf('sb_fname')).toString('latin1').replace(/\0.*$/s, '');
  const blockSize = n('sb_blocksize');
  const bytes = n('sb_dblocks') * blockSize;
  const isOtherUuid = features.includes('meta_uuid');
  return [
    { key: 'label', label: 'label', value: shown(label) },
    { key: 'uuid', label: 'UUID', value: uuidText(bytesOf('sb_uuid')) },
    ...(isOtherUuid ? [{ key: 'metaUuid', label: 'UUID of metadata', value: uuidText(bytesOf('sb_meta_uuid')) }] : []),
    { key: 'version', label: 'version', value: raw.version },
    { key: 'features', label: 'features', value: features },
    { key: 'log', label: 'log', value: log },
    { key: 'sizeBytes', label: 'size in bytes', value: bytes },
    { key: 'size', label: 'size', value: sizeText(bytes) },
    { key: 'blockSize', label: 'block size', value: blockSize },
    { key: 'blocks', label: 'blocks', value: n('sb_dblocks') },
    { key: 'blocksFree', label: 'free blocks', value: n('sb_fdblocks') },
    { key: 'sectorSize', label: 'sector size', value: n('sb_sectsize') },
    { key: 'inodeSize', label: 'inode size', value: n('sb_inodesize') },
    { key: 'inodes', label: 'inodes', value: n('sb_icount') },
    { key: 'inodesFree', label: 'free inodes', value: n('sb_ifree') },
    { key: 'inodesPercent', label: 'inodes at most', value: `${n('sb_imax_pct')} %` },
    { key: 'directoryBlockSize', label: 'directory block size', value: blockSize * 2 ** Math.min(16, n('sb_dirblklog')) },
    { key: 'groups', label: 'groups', value: n('sb_agcount') },
    { key: 'blocksPerGroup', label: 'blocks per group', value: n('sb_agblocks') },
    { key: 'logBlocks', label: 'log blocks', value: n('sb_logblocks') },
    { key: 'logStart', label: 'log start', value: n('sb_logstart') },
    { key: 'logStripe', label: 'log stripe unit', value: n('sb_logsunit') },
    { key: 'stripeUnit', label: 'stripe unit', value: n('sb_unit') * blockSize },
    { key: 'stripeWidth', label: 'stripe width', value: n('sb_width') * blockSize },
    { key: 'rootInode', label: 'root inode', value: n('sb_rootino') },
  ];
}
