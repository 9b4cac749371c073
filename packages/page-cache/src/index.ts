export { AtomicRanges } from './atomic-ranges.js';
export { AddressSpace, type AddressSpaceHost, type AddressSpaceOptions, type InFlight } from './address-space.js';
export { IomapCounters, type IomapEvent } from './counters.js';
export { Folio } from './folio.js';
export { PageCache, type PageCacheOptions } from './page-cache.js';
export { Readahead } from './readahead.js';
