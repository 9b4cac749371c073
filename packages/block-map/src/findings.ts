/** What a check found: JSON-able findings, each once, up to a limit; beyond it they are only counted. */

export type Severity = 'error' | 'warning' | 'info';

/** The places that a finding may name. */
export interface FindingPlace {
  readonly group?: number;
  readonly block?: number;
  readonly ino?: number;
  /** Where it is known. */
  readonly path?: string;
}

/** `S`: the structures that a filesystem's findings are about, as people who repair it name them. */
export interface Finding<S extends string = string> extends FindingPlace {
  /** `error`: the image is inconsistent, as the filesystem's own fsck would say. `warning`: odd, harmless. */
  readonly severity: Severity;
  /** Stable, for programs: kebab-case. */
  readonly code: string;
  readonly structure: S;
  readonly message: string;
}

export class Findings<S extends string> {
  readonly list: Finding<S>[] = [];
  errors = 0;
  warnings = 0;
  /** Findings beyond the limit. */
  omitted = 0;
  /** Inodes that findings name. */
  readonly inos = new Set<number>();
  readonly #seen = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  error(structure: S, code: string, message: string, place: FindingPlace = {}): void {
    this.#add('error', structure, code, message, place);
  }

  warning(structure: S, code: string, message: string, place: FindingPlace = {}): void {
    this.#add('warning', structure, code, message, place);
  }

  #add(severity: Severity, structure: S, code: string, message: string, place: FindingPlace): void {
    if (this.list.length >= this.#max) {
      this.omitted++;
      this.#count(severity);
      return;
    }
    const key = `${code} ${place.group ?? ''} ${place.block ?? ''} ${place.ino ?? ''} ${message}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#count(severity);
    this.list.push({ severity, code, structure, message, ...place });
    if (place.ino !== undefined) this.inos.add(place.ino);
  }

  #count(severity: Severity): void {
    if (severity === 'error') this.errors++;
    else this.warnings++;
  }
}
