export { clearRange, countSet, findNextSet, findNextZero, findZeroByte, setRange, testBit } from './bitmap.js';
export { flushFile, flushFiles, relieve, type DirtyFile, type DirtyFiles } from './dirty-files.js';
export { ExtentCache, type MapRun } from './extent-cache.js';
export { BlockMap, forgetBlock, newBlock, type MapHost, type MappedInode, type MapShape } from './map.js';
export { atomicWriteMax, mapDioOps, mapDirectRead, mapFile, mapSwap, type DirectHost } from './map-direct.js';
export { mapIomapOps, mapWritebackOps, type MapIo, type MappedFile } from './map-iomap.js';
export {
  LegacyFiles,
  legacyMapping,
  mapBufferOps,
  type LegacyHost,
  type LegacyHow,
  type LegacyTraits,
} from './map-legacy.js';
export { releaseBlocks, type ReleasedInode } from './map-release.js';
export { truncateBlocks, unmapRun } from './map-truncate.js';
export { Names, type NamedEntry, type NamedInode, type NameDirs, type NamesHost, type NewName } from './namei.js';
export { hashName, NameIndex, NAMES_MAX } from './name-index.js';
export { Reservations, WINDOW_FIRST, WINDOW_MAX, type Reservation, type ReservationHolder } from './reservation.js';
export { allocRun, freeRun, type AllocRequest, type BitmapSpace, type BlockRun } from './run-alloc.js';
export { conversionOf, type Conversion } from './conversion.js';
export { isHole, type DirBlock } from './dir-block.js';
export { dirHome, type DirHome, type DirHomeKind, type DirHost, type MappedDir } from './dir-home.js';
export { Evicted } from './evicted.js';
export { DirState, LinearDirs, newFound, type EntryFormat, type Found, type StatefulDir, type TakeEntry } from './linear-dir.js';
export { DeviceWriter, wipeSignatures } from './device-writer.js';
export { Findings, type Finding, type FindingPlace, type Severity } from './findings.js';
export { PagedBits, PagedCounts } from './paged.js';
export { readTarget, storeTarget } from './symlink.js';
export { applyUndo, encodeUndo } from './undo.js';
