/** INIT: what kernel and server agree on. Plain: from the kernel's offer and the mount's options to the answer. */
import { FuseInitIn, FuseInitOut } from './abi.js';
import { FUSE_KERNEL_VERSION, FUSE_MINOR_MAX, FUSE_MINOR_MIN, INIT } from './protocol.js';

/** What the mount wants, as far as the kernel can. */
export interface Wishes {
  /** The kernel keeps written data and tells later (see DESIGN.md for what that costs). */
  readonly writebackCache: boolean;
  /** The kernel checks ACLs (with permissions its business). */
  readonly acl: boolean;
  /** Opening needs no message: the kernel has checked permissions. */
  readonly statelessOpen: boolean;
  /** Largest READ and WRITE, bytes: a multiple of 4096. */
  readonly dataMax: number;
  /** Nanoseconds between two times of the format. */
  readonly timeGranularityNs: number;
}

export interface Agreement {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly dataMax: number;
}

const PAGE = 4096;

/** Always asked for. */
const WANTED =
  INIT.ASYNC_READ |
  INIT.EXPORT_SUPPORT |
  INIT.BIG_WRITES |
  INIT.DONT_MASK |
  INIT.HAS_IOCTL_DIR |
  INIT.DO_READDIRPLUS |
  INIT.READDIRPLUS_AUTO |
  INIT.ASYNC_DIO |
  INIT.PARALLEL_DIROPS |
  INIT.MAX_PAGES |
  INIT.CACHE_SYMLINKS |
  INIT.EXPLICIT_INVAL_DATA |
  INIT.HANDLE_KILLPRIV_V2 |
  INIT.SETXATTR_EXT;

/**
 * Decides from the kernel's INIT arguments.
 * @returns undefined when the kernel speaks a newer major version: it will offer ours after the answer `{ major: 7 }`
 * @throws RangeError on a kernel below 7.31
 */
export function negotiate(offer: Uint8Array, wishes: Wishes): Agreement | undefined {
  // Older kernels send only the first four words.
  const padded = new Uint8Array(FuseInitIn.size);
  padded.set(offer.subarray(0, FuseInitIn.size));
  const init = FuseInitIn.at(padded);
  if (init.major > FUSE_KERNEL_VERSION) return undefined;
  if (init.major < FUSE_KERNEL_VERSION || init.minor < FUSE_MINOR_MIN) {
    throw new RangeError(`the kernel speaks FUSE ${init.major}.${init.minor}; at least 7.${FUSE_MINOR_MIN} is needed`);
  }
  let wanted: number = WANTED;
  if (wishes.writebackCache) wanted |= INIT.WRITEBACK_CACHE;
  if (wishes.acl) wanted |= INIT.POSIX_ACL;
  if (wishes.statelessOpen) wanted |= INIT.NO_OPEN_SUPPORT | INIT.NO_OPENDIR_SUPPORT;
  const flags = init.flags & wanted;
  const pages = (flags & INIT.MAX_PAGES) === 0 ? 32 : wishes.dataMax / PAGE;
  return {
    major: FUSE_KERNEL_VERSION,
    minor: Math.min(init.minor, FUSE_MINOR_MAX),
    maxReadahead: init.max_readahead,
    flags,
    dataMax: Math.min(wishes.dataMax, pages * PAGE),
  };
}

/** Writes the answer at `at` of `bytes`; its length. */
export function putInit(bytes: Uint8Array, at: number, agreed: Agreement | undefined, wishes: Wishes): number {
  bytes.fill(0, at, at + FuseInitOut.size);
  const out = FuseInitOut.at(bytes, at);
  out.major = FUSE_KERNEL_VERSION;
  out.minor = agreed?.minor ?? FUSE_MINOR_MAX;
  if (agreed === undefined) return FuseInitOut.size;
  out.max_readahead = agreed.maxReadahead;
  out.flags = agreed.flags;
  // Readahead and asynchronous direct I/O in flight: enough to keep a server busy that answers one after the other.
  out.max_background = 64;
  out.congestion_threshold = 48;
  out.max_write = agreed.dataMax;
  out.time_gran = wishes.timeGranularityNs;
  out.max_pages = agreed.dataMax / PAGE;
  return FuseInitOut.size;
}
