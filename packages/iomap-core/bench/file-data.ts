/**
 * Sequential and random file data through iomap-core on a file device, beside the same bytes by raw `fs` calls.
 * Bundle and run it: see the README. Arguments: a scratch file's path, MiB (default 1024).
 */
import { openFileDevice } from '@iomap/block-device/node';
import { runSync } from '@iomap/io';
import { PageCache } from '@iomap/page-cache';
import * as fs from 'node:fs';
import { bufferedRead, bufferedWrite, newIomap, peekBufferedRead, peekBufferedWrite, writeback } from '../src/index.js';
import type { Iomap, IomapInode, IomapOps, WritebackOps } from '../src/index.js';
import { AddressSpace } from '@iomap/page-cache';

const path = process.argv[2] ?? '/tmp/iomap-bench.img';
const sizeBytes = Number(process.argv[3] ?? 1024) * 2 ** 20;
const CALL = 2 ** 20;
const device = openFileDevice(path, { create: true, sizeBytes: sizeBytes + 2 ** 20 } as never);

/** A file whose blocks lie in runs of `runBytes`, as ext2's do between indirect blocks. */
function linearFile(cache: PageCache, runBytes: number): IomapInode & { ops: IomapOps<IomapInode>; wb: WritebackOps<IomapInode> } {
  const fill = (pos: number, out: Iomap): true => {
    out.type = 'mapped';
    out.offset = pos - (pos % runBytes);
    out.length = runBytes;
    out.addr = out.offset;
    out.device = device;
    return true;
  };
  const inode = {
    ino: 1,
    size: 0,
    blockSize: 4096,
    mapping: undefined as unknown as AddressSpace,
    ops: {
      peek: (_i: IomapInode, pos: number, _l: number, _f: number, out: Iomap) => fill(pos, out),
      *begin(_i: IomapInode, pos: number, _l: number, _f: number, out: Iomap) {
        fill(pos, out);
      },
    },
    wb: {
      peekBlocks: (_i: IomapInode, pos: number, _l: number, out: Iomap) => fill(pos, out),
      *mapBlocks(_i: IomapInode, pos: number, _l: number, out: Iomap) {
        fill(pos, out);
      },
    } as WritebackOps<IomapInode>,
  };
  inode.mapping = new AddressSpace(cache, {
    name: 'bench', blockSize: 4096, host: { writeback: (range) => writeback(inode, inode.wb, range) },
  });
  return inode;
}

const bytes = new Uint8Array(CALL).fill(7);
const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1] ?? 0;
const timed = (work: () => void): number => {
  const start = performance.now();
  work();
  return performance.now() - start;
};
const rate = (ms: number): string => `${Math.round(sizeBytes / 2 ** 20 / (ms / 1000))} MiB/s`;

function compare(name: string, raw: () => void, ours: () => void): void {
  const r: number[] = [];
  const o: number[] = [];
  for (let i = 0; i < 5; i++) {
    r.push(timed(raw));
    o.push(timed(ours));
  }
  const a = median(r);
  const b = median(o);
  console.log(`${name.padEnd(34)} raw ${rate(a).padStart(12)}   ours ${rate(b).padStart(12)}   ratio ${(a / b).toFixed(2)}`);
}

const fd = fs.openSync(path, 'r+');
const rawWrite = (): void => {
  for (let pos = 0; pos < sizeBytes; pos += CALL) fs.writeSync(fd, bytes, 0, CALL, pos);
};
const rawRead = (): void => {
  for (let pos = 0; pos < sizeBytes; pos += CALL) fs.readSync(fd, bytes, 0, CALL, pos);
};
rawWrite();
const variants = [
  ['bypass', {}],
  ['copy', { bypassReadBytes: Infinity, bypassWriteBytes: Infinity }],
] as const;
for (const [name, options] of variants) {
  const cache = new PageCache({ budgetBytes: 64 * 2 ** 20, ...options });
  const file = linearFile(cache, 4 * 2 ** 20);
  compare(`write 1 MiB calls, ${name}`, rawWrite, () => {
    for (let pos = 0; pos < sizeBytes; pos += CALL) runSync(bufferedWrite(file, file.ops, pos, bytes));
    runSync(writeback(file, file.wb, { pos: 0, len: Infinity }));
  });
  compare(`read 1 MiB calls, ${name}`, rawRead, () => {
    for (let pos = 0; pos < sizeBytes; pos += CALL) runSync(bufferedRead(file, file.ops, pos, bytes));
  });
  const counts = cache.counters;
  console.log('  ', JSON.stringify({ held: cache.pool.heldBytes / 2 ** 20, folios: counts.folioAllocs, readBios: counts.readBios, writeBios: counts.writeBios, foliosTouched: counts.foliosTouched, peeks: counts.beginPeeks }));
}
for (const small of [4096, 65536]) {
  const cache = new PageCache({ budgetBytes: 64 * 2 ** 20 });
  const file = linearFile(cache, 4 * 2 ** 20);
  const part = bytes.subarray(0, small);
  compare(`write ${small / 1024} KiB calls`, () => {
    for (let pos = 0; pos < sizeBytes; pos += small) fs.writeSync(fd, part, 0, small, pos);
  }, () => {
    for (let pos = 0; pos < sizeBytes; pos += small) {
      if (peekBufferedWrite(file, file.ops, pos, part) < 0) runSync(bufferedWrite(file, file.ops, pos, part));
    }
    runSync(writeback(file, file.wb, { pos: 0, len: Infinity }));
  });
  compare(`read ${small / 1024} KiB calls`, () => {
    for (let pos = 0; pos < sizeBytes; pos += small) fs.readSync(fd, part, 0, small, pos);
  }, () => {
    for (let pos = 0; pos < sizeBytes; pos += small) {
      if (peekBufferedRead(file, pos, part) < 0) runSync(bufferedRead(file, file.ops, pos, part));
    }
  });
}
{
  const cache = new PageCache({ budgetBytes: 64 * 2 ** 20 });
  const file = linearFile(cache, 4 * 2 ** 20);
  file.size = 32 * 2 ** 20;
  const block = new Uint8Array(4096);
  const at = Array.from({ length: 8192 }, (_, i) => ((i * 5003) % 8192) * 4096);
  for (const pos of at) runSync(bufferedRead(file, file.ops, pos, block));
  for (let round = 0; round < 3; round++) {
    const n = 2_000_000;
    const ms = timed(() => {
      for (let i = 0; i < n; i++) if (peekBufferedRead(file, at[i & 8191] ?? 0, block) !== 4096) throw new Error('miss');
    });
    const wr = timed(() => {
      for (let i = 0; i < n; i++) if (peekBufferedWrite(file, file.ops, at[i & 4095] ?? 0, block) !== 4096) throw new Error('miss');
    });
    console.log(`4 KiB cached random read ${Math.round(n / ms)} k/s, write ${Math.round(n / wr)} k/s; folios ${cache.folioCount}`);
    if (round === 2) console.log(JSON.stringify(newIomap().type));
  }
}
fs.closeSync(fd);
fs.unlinkSync(path);
