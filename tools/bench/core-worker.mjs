/**
 * Jobs of the core's cases (core.mjs), one to a process: the file data path over a device in memory, so that what is measured is
 * the path and not the device. Counts are exact; seconds are medians inside the job. The answer is JSON on stdout.
 */
import { memoryDevice, traceDevice } from '@iomap/block-device';
import { submitBio, runSync, systemEnv } from '@iomap/io';
import { bufferedRead, bufferedWrite, peekBufferedWrite, writeback } from '@iomap/iomap-core';
import { AddressSpace, PageCache } from '@iomap/page-cache';
import { performance } from 'node:perf_hooks';
import { median } from './measure.mjs';

const KIB = 1024;
const MIB = 2 ** 20;
const [job, ...args] = process.argv.slice(2);

/** A file whose blocks lie in runs of 4 MiB, as ext2's do between two indirect blocks. */
function linearFile(device, cache, blockSize, { oneBlock = false } = {}) {
  const runBytes = oneBlock ? blockSize : 4 * MIB;
  const fill = (pos, out) => {
    out.type = 'mapped';
    out.offset = pos - (pos % runBytes);
    out.length = runBytes;
    out.addr = out.offset;
    out.device = device;
    return true;
  };
  const ops = {
    peek: (_inode, pos, _length, _flags, out) => fill(pos, out),
    *begin(_inode, pos, _length, _flags, out) {
      fill(pos, out);
    },
  };
  const writebackOps = {
    peekBlocks: (_inode, pos, _length, out) => fill(pos, out),
    *mapBlocks(_inode, pos, _length, out) {
      fill(pos, out);
    },
  };
  const inode = { ino: 1, size: 0, blockSize, wasRead: false, mapping: undefined, mappingIfAny: undefined };
  const host = { writeback: (range) => writeback(inode, writebackOps, range) };
  inode.mapping = inode.mappingIfAny = new AddressSpace(cache, { name: 'bench', blockSize, host });
  return {
    inode,
    write(pos, bytes) {
      if (peekBufferedWrite(inode, ops, pos, bytes) < 0) runSync(bufferedWrite(inode, ops, pos, bytes));
    },
    read: (pos, bytes) => runSync(bufferedRead(inode, ops, pos, bytes)),
    writeAll: () => runSync(host.writeback({ pos: 0, len: Infinity })),
  };
}

/** Every byte through folios: nothing goes beside the cache. */
const newCache = (folioMaxBytes, budgetBytes = 256 * MIB) =>
  new PageCache({ budgetBytes, folioMaxBytes, bypassReadBytes: Infinity, bypassWriteBytes: Infinity });

/** xorshift32: the same places in every run. */
function places(seed, count, below) {
  let state = seed;
  return Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  });
}

const flush = (device) => runSync(submitBio(device, { op: 'flush', pos: 0, segments: [], lengthBytes: 0 }));

/** The counters that a piece of work moved. */
function counted(cache, work) {
  const before = { ...cache.counters };
  work();
  return Object.fromEntries(Object.entries(cache.counters).map(([name, value]) => [name, value - before[name]]));
}

const secondsOf = (work) => {
  const started = performance.now();
  work();
  return (performance.now() - started) / 1000;
};

/** Writes a file of `bytes` through folios of `folioBytes`, clean and whole in the cache afterwards. */
function cached(file, bytes, folioBytes) {
  const chunk = new Uint8Array(folioBytes).fill(1);
  for (let pos = 0; pos < bytes; pos += folioBytes) file.write(pos, chunk);
  file.writeAll();
}

const jobs = {
  /** 4 KiB overwrites at random, each made durable, in folios of a size; tracked by block, or a folio as one block. */
  randomOverwrites(folioBytes, tracked) {
    const size = 32 * MIB;
    const device = memoryDevice({ sizeBytes: size });
    const cache = newCache(folioBytes);
    const file = linearFile(device, cache, tracked ? 4 * KIB : folioBytes);
    cached(file, size, folioBytes);
    const page = new Uint8Array(4 * KIB).fill(2);
    const seconds = [];
    let counts;
    const count = 1000;
    for (let round = 0; round < 16; round++) {
      const at = places(round + 1, count, size / page.length);
      let taken;
      counts = counted(cache, () => {
        taken = secondsOf(() => {
          for (const block of at) {
            file.write(block * page.length, page);
            file.writeAll();
            flush(device);
          }
        });
      });
      if (round >= 6) seconds.push(taken);
    }
    const dirtied = count * page.length;
    return { ratio: counts.writeBioBytes / dirtied, mibPerSecond: dirtied / MIB / median(seconds) };
  },

  /** A file written once and written back: folios and mapping calls per MiB. */
  perMib(folioMaxBytes, callBytes, oneBlock) {
    const size = 64 * MIB;
    const cache = newCache(folioMaxBytes);
    const file = linearFile(memoryDevice({ sizeBytes: size }), cache, 4 * KIB, { oneBlock });
    const chunk = new Uint8Array(callBytes).fill(3);
    const written = counted(cache, () => {
      for (let pos = 0; pos < size; pos += callBytes) file.write(pos, chunk);
    });
    const back = counted(cache, () => file.writeAll());
    const mib = size / MIB;
    return {
      foliosWritten: written.foliosTouched / mib,
      foliosWrittenBack: back.foliosTouched / mib,
      begins: (written.begins + written.beginPeeks) / mib,
      mapBlocks: back.mapBlocks / mib,
    };
  },

  /** 1 KiB overwrites of 1 KiB blocks in a cached folio, some blocks of which are dirty already. */
  smallOverwrites(folioBytes) {
    const size = 2 * MIB;
    const cache = newCache(folioBytes);
    const file = linearFile(memoryDevice({ sizeBytes: size }), cache, KIB);
    cached(file, size, folioBytes);
    const bytes = new Uint8Array(KIB).fill(4);
    const nanoseconds = [];
    for (let round = 0; round < 60; round++) {
      const at = places(round + 1, 1000, size / KIB);
      const seconds = secondsOf(() => {
        for (const block of at) file.write(block * KIB, bytes);
      });
      file.writeAll();
      if (round >= 20) nanoseconds.push((seconds * 1e9) / at.length);
    }
    return { nanoseconds: median(nanoseconds) };
  },

  /** Buffered writes in calls of a size: new data, the same again (overwrites), and overwrites with their writeback. */
  largeWrites(callBytes, folioMaxBytes) {
    const size = 64 * MIB;
    const device = memoryDevice({ sizeBytes: size });
    const cache = newCache(folioMaxBytes);
    const chunk = new Uint8Array(callBytes).fill(5);
    const speeds = { fresh: [], over: [], synced: [] };
    for (let round = 0; round < 8; round++) {
      const file = linearFile(device, cache, 4 * KIB);
      const all = () => {
        for (let pos = 0; pos < size; pos += callBytes) file.write(pos, chunk);
      };
      const fresh = secondsOf(all);
      file.writeAll();
      const over = secondsOf(all);
      file.writeAll();
      const synced = secondsOf(() => {
        all();
        file.writeAll();
      });
      file.inode.mapping.dropAll();
      if (round < 3) continue;
      for (const [name, seconds] of Object.entries({ fresh, over, synced })) speeds[name].push(size / MIB / seconds);
    }
    return Object.fromEntries(Object.entries(speeds).map(([name, list]) => [name, median(list)]));
  },

  /** Sixteen blocks of an ext2 file, the last four behind its indirect block: the bios of one read, in their order. */
  async indirect(mapFirst) {
    const { mkfs, mount } = await import('@iomap/ext2');
    const { createVfs } = await import('@iomap/vfs');
    const { nodeFs } = await import('@iomap/vfs/node');
    const env = systemEnv();
    const bios = [];
    const memory = memoryDevice({ sizeBytes: 16 * MIB });
    runSync(mkfs(memory, { blockSize: 4 * KIB }));
    const device = traceDevice(memory, { onBio: ({ op, pos, bytes }) => bios.push({ op, pos, bytes }) });
    const open = (readOnly) => {
      const vfs = createVfs(runSync(mount(device, { env, readOnly })), { env });
      return { fs: nodeFs(vfs), close: () => runSync(vfs.unmount()), vfs };
    };
    const writer = open(false);
    writer.fs.writeFileSync('/file', new Uint8Array(64 * KIB).fill(6));
    writer.close();
    const reader = open(true);
    const fd = reader.fs.openSync('/file', 'r');
    if (mapFirst) runSync(reader.vfs.ffiemap(fd));
    const before = mapFirst ? bios.length - 1 : bios.length;
    reader.fs.readSync(fd, new Uint8Array(60 * KIB), 0, 60 * KIB, 0);
    const read = bios.slice(before).filter(({ op }) => op === 'read');
    reader.fs.closeSync(fd);
    reader.close();
    return { bios: read, inOrder: read.every(({ pos }, i) => i === 0 || pos > read[i - 1].pos) };
  },
};

const result = await jobs[job](...args.map((text) => JSON.parse(text)));
process.stdout.write(JSON.stringify(result));
