/**
 * Recovery: two passes over the live part of the log. The first learns which buffers were freed (cancelled) in it; the second replays
 * into an overlay, so that the image itself is never written.
 *
 * Inodes that were unlinked while open need no work for a reader: they have no links, and so are nobody's.
 */
import { overlayDevice, type BlockDevice } from '@iomap/block-device';
import { corrupt, FsError, type Io } from '@iomap/io';
import { unknownLogFeatures } from '../features.js';
import { BLF, ITEM } from '../ondisk-log.js';
import type { SuperInfo } from '../super.js';
import { ReplayBuffers } from './buffers.js';
import { eachRecord, findLog, type LogState } from './head.js';
import { Intents } from './intents.js';
import {
  CancelTable,
  decodeBufItem,
  replayBuffer,
  replayDquot,
  replayIcreate,
  replayInode,
  type ReplayContext,
} from './items.js';
import { LogRing } from './ring.js';
import { Transactions, type LogItem, type Transaction } from './transactions.js';

export interface Recovery {
  /** What to mount: the device itself when the log was clean. */
  readonly device: BlockDevice;
  readonly wasDirty: boolean;
  readonly intents: Intents;
  readonly counts: { readonly records: number; readonly transactions: number; readonly items: number };
}

/** Replays the log of an image. @throws FsError EUCLEAN, EBADMSG, EOPNOTSUPP, EIO */
export function* recoverLog(device: BlockDevice, info: SuperInfo): Io<Recovery> {
  const ring = new LogRing(device, info);
  const state = yield* findLog(ring, info);
  const intents = new Intents();
  if (state.isClean) return { device, wasDirty: false, intents, counts: { records: 0, transactions: 0, items: 0 } };
  const unknown = unknownLogFeatures(info);
  if (unknown.length > 0) throw new FsError('EOPNOTSUPP', { why: `a log with unsupported features: ${unknown.join(', ')}` });
  const cancelled = yield* findCancelled(ring, info, state);
  const overlay = overlayDevice(device);
  const buffers = new ReplayBuffers(overlay, info.v5);
  const context: ReplayContext = { info, buffers, cancelled, lsn: -1n };
  const counts = { records: 0, transactions: 0, items: 0 };
  yield* eachTransaction(ring, info, state, function* (transaction, isNewRecord) {
    if (isNewRecord) counts.records++;
    counts.transactions++;
    counts.items += transaction.items.length;
    if (transaction.lsn !== context.lsn) yield* buffers.flush();
    context.lsn = transaction.lsn;
    for (const item of inOrder(transaction.items)) yield* replayItem(context, intents, item);
  });
  yield* buffers.flush();
  return { device: overlay, wasDirty: true, intents, counts };
}

function* eachTransaction(
  ring: LogRing, info: SuperInfo, state: LogState, visit: (transaction: Transaction, isNewRecord: boolean) => Io<void>,
): Io<void> {
  const transactions = new Transactions();
  yield* eachRecord(ring, info, state, function* ({ lsn, opCount }, data) {
    let isNewRecord = true;
    for (const transaction of transactions.take(lsn, data, opCount)) {
      yield* visit(transaction, isNewRecord);
      isNewRecord = false;
    }
  });
}

function* findCancelled(ring: LogRing, info: SuperInfo, state: LogState): Io<CancelTable> {
  const table = new CancelTable();
  yield* eachTransaction(ring, info, state, function* ({ items }) {
    for (const item of items) {
      if (item.type !== ITEM.BUF) continue;
      const { block, count, flags } = decodeBufItem(item);
      if ((flags & BLF.CANCEL) !== 0) table.add(block, count);
    }
  });
  return table;
}

/** Blocks first, since inodes live in them; then all else; then the links of unlinked inodes; last what was freed. */
function inOrder(items: readonly LogItem[]): LogItem[] {
  const buffers: LogItem[] = [];
  const others: LogItem[] = [];
  const inodeBuffers: LogItem[] = [];
  const cancels: LogItem[] = [];
  for (const item of items) {
    if (item.type === ITEM.ICREATE) {
      buffers.push(item);
    } else if (item.type !== ITEM.BUF) {
      others.push(item);
    } else {
      const { flags } = decodeBufItem(item);
      if ((flags & BLF.CANCEL) !== 0) cancels.push(item);
      else if ((flags & BLF.INODE_BUF) !== 0) inodeBuffers.push(item);
      else buffers.push(item);
    }
  }
  return [...buffers, ...others, ...inodeBuffers, ...cancels];
}

function* replayItem(context: ReplayContext, intents: Intents, item: LogItem): Io<void> {
  if (item.regions.length < item.total) throw corrupt('log: an item is cut short', { field: 'size' });
  switch (item.type) {
    case ITEM.BUF:
      yield* replayBuffer(context, item);
      return;
    case ITEM.INODE:
      yield* replayInode(context, item);
      return;
    case ITEM.ICREATE:
      yield* replayIcreate(context, item);
      return;
    case ITEM.DQUOT:
      yield* replayDquot(context, item);
      return;
    case ITEM.QUOTAOFF:
      return;
    default:
      if (!intents.take(item)) throw new FsError('EOPNOTSUPP', { why: `log: an item of type 0x${item.type.toString(16)}` });
  }
}
