/** Findings of a check: what is wrong, in which structure, where. */
import { FsError } from '@iomap/io';

export type Structure =
  | 'superblock' | 'agf' | 'agi' | 'agfl' | 'bnobt' | 'cntbt' | 'inobt' | 'finobt' | 'rmapbt' | 'refcountbt'
  | 'inode' | 'fork' | 'directory' | 'attribute' | 'symlink' | 'space' | 'links' | 'unlinked' | 'log';

export interface Finding {
  /** As "free-space-differs": stable, for programs. */
  readonly code: string;
  readonly message: string;
  readonly severity: 'error' | 'warning';
  readonly structure: Structure;
  readonly group?: number;
  /** A block of the group, where `group` is given; else a filesystem block. */
  readonly block?: number;
  readonly ino?: number;
}

type Place = Pick<Finding, 'group' | 'block' | 'ino'>;

/** Findings kept; the rest are counted. */
const FINDINGS_MAX = 10_000;

export class Report {
  readonly findings: Finding[] = [];
  /** All, kept or not. */
  errors = 0;

  add(structure: Structure, code: string, message: string, place: Place = {}): void {
    this.errors++;
    if (this.findings.length < FINDINGS_MAX) this.findings.push({ code, message, severity: 'error', structure, ...place });
  }

  warn(structure: Structure, code: string, message: string, place: Place = {}): void {
    if (this.findings.length < FINDINGS_MAX) this.findings.push({ code, message, severity: 'warning', structure, ...place });
  }

  /** Notes a failure that reading met. @throws whatever is no verdict on the image: a device's error, a bug */
  caught(structure: Structure, error: unknown, place: Place = {}): void {
    if (!(error instanceof FsError) || error.code === 'EIO') throw error;
    const { ino, block } = error.detail;
    this.add(structure, error.code === 'EBADMSG' ? 'checksum' : 'corrupt', error.why ?? error.message, {
      ...(ino === undefined ? {} : { ino }),
      ...(block === undefined ? {} : { block }),
      ...place,
    });
  }
}
