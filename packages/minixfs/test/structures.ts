/**
 * Where the structures of a sound minix image are, for the mutator: superblock, bitmaps, inodes, directory entries, indirect
 * zones. It reads a sound image and so checks little.
 */
import { fieldsOf, type StructureField, type StructurePlace } from '@iomap/conformance';
import { Minix3Super, MinixInodeV1, MinixInodeV2, MinixSuper, SUPER_POS } from '../src/ondisk.js';
import { decodeSuper, type SuperInfo } from '../src/super.js';

const words = (name: string, count: number, sizeBytes: number, from = 0): StructureField[] =>
  Array.from({ length: count }, (_, n) => ({ name: `${name}[${from + n}]`, offset: (from + n) * sizeBytes, sizeBytes }));

const DIRENTS_MAX = 600;

class Finder {
  readonly places: StructurePlace[] = [];
  readonly #data: DataView;
  readonly #info: SuperInfo;
  #dirents = 0;

  constructor(bytes: Uint8Array) {
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#info = decodeSuper(bytes.subarray(SUPER_POS), bytes.length);
  }

  #add(kind: string, pos: number, fields: readonly StructureField[]): void {
    this.places.push({ kind, pos, fields, littleEndian: this.#info.littleEndian });
  }

  #pointer(pos: number): number {
    const { pointerBytes, littleEndian } = this.#info;
    return pointerBytes === 2 ? this.#data.getUint16(pos, littleEndian) : this.#data.getUint32(pos, littleEndian);
  }

  /** The zones of an inode, in order; indirect zones are added as places on the way. */
  #zones(at: number): number[] {
    const { info } = { info: this.#info };
    const per = info.blockSize / info.pointerBytes;
    const zones: number[] = [];
    const walk = (zone: number, level: number): void => {
      if (zone === 0 || zones.length > 300) return;
      if (level === 0) {
        zones.push(zone);
        return;
      }
      const pos = zone * info.zoneSize;
      const fields = [...words('entry', 12, info.pointerBytes), ...words('entry', 4, info.pointerBytes, per - 4)];
      this.#add(level === 1 ? 'indirect' : 'multi-indirect', pos, fields);
      for (let n = 0; n < per; n++) walk(this.#pointer(pos + n * info.pointerBytes), level - 1);
    };
    const first = at + (info.version === 1 ? MinixInodeV1.le.offsets.i_zone : MinixInodeV2.le.offsets.i_zone);
    for (let n = 0; n < 7 + info.levels; n++) walk(this.#pointer(first + n * info.pointerBytes), Math.max(0, n - 6));
    return zones;
  }

  #inode(ino: number): void {
    const info = this.#info;
    const at = info.tableBlock * info.blockSize + (ino - 1) * info.inodeSize;
    const mode = this.#data.getUint16(at, info.littleEndian);
    if (mode === 0) return;
    const layout = info.version === 1 ? MinixInodeV1.le : MinixInodeV2.le;
    this.#add(ino === 1 ? 'root-inode' : 'inode', at, fieldsOf(layout));
    const type = mode & 0o170000;
    if (type !== 0o040000 && type !== 0o100000 && type !== 0o120000) return;
    const zones = this.#zones(at);
    if (type !== 0o040000) return;
    const entry = [{ name: 'inode', offset: 0, sizeBytes: info.inoBytes }, { name: 'name[0]', offset: info.inoBytes, sizeBytes: 1 }];
    let left = this.#data.getUint32(at + layout.offsets.i_size, info.littleEndian);
    for (const zone of zones) {
      for (let n = 0; n < info.zoneSize && left > 0 && this.#dirents < DIRENTS_MAX; n += info.entryBytes, left -= info.entryBytes) {
        this.#add(ino === 1 ? 'root-dirent' : 'dirent', zone * info.zoneSize + n, entry);
        this.#dirents++;
      }
    }
  }

  run(): StructurePlace[] {
    const info = this.#info;
    this.#add('superblock', SUPER_POS, fieldsOf(info.version === 3 ? Minix3Super.le : MinixSuper.le));
    this.#add('inode-bitmap', 2 * info.blockSize, words('word', 8, 4));
    this.#add('zone-bitmap', info.zmapBlock * info.blockSize, words('word', 32, 4));
    for (let ino = 1; ino <= Math.min(400, info.inodesCount); ino++) this.#inode(ino);
    return this.places.filter((place) => place.pos >= 0 && place.pos + 64 <= this.#data.byteLength);
  }
}

/** The places of a sound image's structures. */
export const minixStructures = (bytes: Uint8Array): StructurePlace[] => new Finder(bytes).run();
