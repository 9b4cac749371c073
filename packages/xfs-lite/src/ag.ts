/** Headers of allocation groups: sectors 1 to 3 of each, verified. */
import type { Buf, BufOps } from '@iomap/buffer-cache';
import { corrupt } from '@iomap/io';
import { sumMatches } from './crc32c.js';
import { AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC, XfsAgf, XfsAgfl, XfsAgi } from './ondisk.js';
import type { SuperInfo } from './super.js';

/** Where each header keeps its checksum and uuid. */
const STAMPS: ReadonlyMap<number, { readonly name: string; readonly crc: number; readonly uuid: number }> = new Map([
  [AGF_MAGIC, { name: 'AGF', crc: XfsAgf.offsets.agf_crc, uuid: XfsAgf.offsets.agf_uuid }],
  [AGI_MAGIC, { name: 'AGI', crc: XfsAgi.offsets.agi_crc, uuid: XfsAgi.offsets.agi_uuid }],
  [AGFL_MAGIC, { name: 'AGFL', crc: XfsAgfl.offsets.agfl_crc, uuid: XfsAgfl.offsets.agfl_uuid }],
]);

/** Verifiers of the three headers, by magic number. */
export function headerOps(info: SuperInfo): ReadonlyMap<number, BufOps> {
  const made = new Map<number, BufOps>();
  for (const [magic, { name, crc, uuid }] of STAMPS) {
    made.set(magic, {
      name,
      verifyRead(view, { bytes }) {
        // The free list of version 4 has no head.
        if (!info.v5 && magic === AGFL_MAGIC) return undefined;
        if (view.getUint32(0) !== magic) return { field: 'magic', why: 'magic number' };
        if (!info.v5) return undefined;
        if (!sumMatches(view, 0, bytes.length, crc)) return { field: 'crc', why: 'checksum', checksum: true };
        for (let i = 0; i < 16; i++) if (bytes[uuid + i] !== info.metaUuid[i]) return { field: 'uuid', why: 'uuid of another filesystem' };
        return undefined;
      },
    });
  }
  return made;
}

/** @throws FsError EUCLEAN when a header is another group's */
export function checkHeader(buf: Buf, ag: number, seqnoAt: number): void {
  if (buf.view.getUint32(seqnoAt) !== ag) throw corrupt(`a header of group ${buf.view.getUint32(seqnoAt)}`, { pos: buf.pos, field: 'seqno' });
}
