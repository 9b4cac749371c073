/**
 * What runs in the child processes: one named job, its own time measured inside (start-up of Node is not what is
 * compared, except where a case measures the whole command), the answer as JSON on stdout.
 */
import fs from 'node:fs';
import { performance } from 'node:perf_hooks';

const MIB = 2 ** 20;
const [job, ...args] = process.argv.slice(2);

async function openFs(image, options = {}) {
  const { openFileDevice } = await import('@iomap/block-device/node');
  const { mount } = await import(options.type === 'xfs' ? '@iomap/xfs-lite' : '@iomap/ext2');
  const { runSync, systemEnv } = await import('@iomap/io');
  const { createVfs } = await import('@iomap/vfs');
  const { nodeFs } = await import('@iomap/vfs/node');
  const env = systemEnv();
  const device = openFileDevice(image, { readOnly: options.readOnly ?? false });
  const volume = runSync(mount(device, { env, readOnly: options.readOnly ?? false }));
  const vfs = createVfs(volume, { env, ...options.vfs });
  return {
    fs: nodeFs(vfs),
    close() {
      runSync(vfs.unmount());
      device.close();
    },
  };
}

function walk(face, root) {
  let files = 0;
  let bytes = 0;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of face.readdirSync(folder, { withFileTypes: true })) {
      const at = `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(at);
      else if (entry.isFile()) {
        bytes += face.readFileSync(at).length;
        files++;
      }
    }
  }
  return { files, bytes };
}

const timed = (work) => {
  const started = performance.now();
  const result = work();
  return { seconds: (performance.now() - started) / 1000, ...result };
};

/** Reads a file from `start` to `end` (its own end when absent). */
function readCalls(face, file, callBytes, start = 0, end = Infinity) {
  const fd = face.openSync(file, 'r');
  const buffer = Buffer.allocUnsafe(callBytes);
  const result = timed(() => {
    let bytes = 0;
    while (start + bytes < end) {
      const n = face.readSync(fd, buffer, 0, callBytes, start + bytes);
      if (n === 0) break;
      bytes += n;
    }
    return { bytes };
  });
  face.closeSync(fd);
  return result;
}

/** `seconds` until the last call returned, `durableSeconds` until an fsync after it did. */
function writeCalls(face, file, callBytes, totalBytes) {
  const buffer = Buffer.alloc(callBytes, 0x5a);
  const fd = face.openSync(file, 'w');
  const started = performance.now();
  for (let pos = 0; pos < totalBytes; pos += callBytes) face.writeSync(fd, buffer, 0, callBytes, pos);
  const seconds = (performance.now() - started) / 1000;
  face.fsyncSync(fd);
  const durableSeconds = (performance.now() - started) / 1000;
  face.closeSync(fd);
  return { seconds, durableSeconds, bytes: totalBytes };
}

/** Of each `PATH:COUNT` (names `file-0000000` on): microseconds that the stat of one takes, the median of seven turns. */
function lookupTimes(face, root, folders) {
  let state = 12345;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const calls = 50_000;
  const times = folders.map(() => []);
  for (let turn = 0; turn < 10; turn++) {
    for (const [i, folder] of folders.entries()) {
      const [path, count] = folder.split(':');
      const paths = Array.from({ length: calls }, () => `${root}${path}/file-${String(random(Number(count))).padStart(7, '0')}`);
      const { seconds } = timed(() => {
        for (const at of paths) face.statSync(at);
        return {};
      });
      // Three turns to come to where everything is that can be in the caches.
      if (turn >= 3) times[i].push((seconds / calls) * 1e6);
    }
  }
  return times.map((list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]);
}

const jobs = {
  walkHost: (root) => timed(() => walk(fs, root)),
  async walkImage(image, type) {
    const open = await openFs(image, { readOnly: true, type });
    const result = timed(() => walk(open.fs, '/'));
    open.close();
    return result;
  },
  readRaw: (file, callBytes, start, end) => readCalls(fs, file, Number(callBytes), Number(start), Number(end)),
  async readImage(image, file, callBytes) {
    const open = await openFs(image, { readOnly: true });
    const result = readCalls(open.fs, file, Number(callBytes));
    open.close();
    return result;
  },
  writeRaw: (file, callBytes, totalBytes) => writeCalls(fs, file, Number(callBytes), Number(totalBytes)),
  async writeImage(image, file, callBytes, totalBytes) {
    const open = await openFs(image);
    const result = writeCalls(open.fs, file, Number(callBytes), Number(totalBytes));
    open.close();
    return result;
  },
  /** Empty files, 100 to a folder: made, asked for, removed. */
  names(folder, count) {
    const paths = Array.from({ length: Number(count) }, (_, i) => `${folder}/${Math.floor(i / 100)}/${i}`);
    for (let i = 0; i < paths.length; i += 100) fs.mkdirSync(`${folder}/${i / 100}`);
    const { seconds: createSeconds } = timed(() => {
      for (const at of paths) fs.closeSync(fs.openSync(at, 'wx'));
    });
    const { seconds: statSeconds } = timed(() => {
      for (const at of paths) fs.statSync(at);
    });
    const { seconds: unlinkSeconds } = timed(() => {
      for (const at of paths) fs.unlinkSync(at);
    });
    return { createSeconds, statSeconds, unlinkSeconds };
  },
  async hotCalls(image) {
    const { Bench } = await import('tinybench');
    const open = await openFs(image);
    const face = open.fs;
    const blockBytes = 4096;
    const blocks = (16 * MIB) / blockBytes;
    face.mkdirSync('/hot/a/b/c', { recursive: true });
    face.writeFileSync('/hot/data', Buffer.alloc(blocks * blockBytes, 1));
    const paths = Array.from({ length: 1000 }, (_, i) => `/hot/a/b/c/file-${i}`);
    for (const at of paths) face.writeFileSync(at, 'x');
    const fd = face.openSync('/hot/data', 'r');
    const buffer = Buffer.alloc(blockBytes);
    readCalls(face, '/hot/data', MIB);
    let state = 12345;
    const random = (below) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const batch = 1000;
    const bench = new Bench({ time: 1500, warmupTime: 500 });
    bench
      .add('read 4 KiB', () => {
        for (let i = 0; i < batch; i++) face.readSync(fd, buffer, 0, blockBytes, random(blocks) * blockBytes);
      })
      .add('stat', () => {
        for (let i = 0; i < batch; i++) face.statSync(paths[random(paths.length)]);
      });
    await bench.run();
    const perSecond = (name) => {
      const { result } = bench.getTask(name);
      return (batch * 1000) / result.latency.p50;
    };
    const answer = { readsPerSecond: perSecond('read 4 KiB'), statsPerSecond: perSecond('stat') };
    face.closeSync(fd);
    open.close();
    return answer;
  },
  /**
   * Names of two folders of an XFS image by chance, the folders in turn; microseconds a look-up, once warm. The dentry cache is as small
   * as can be, so that the directory is searched each time.
   */
  async lookups(image, ...folders) {
    const open = await openFs(image, { readOnly: true, type: 'xfs', vfs: { dentriesMax: 16 } });
    const microseconds = lookupTimes(open.fs, '', folders);
    open.close();
    return { microseconds };
  },
  lookupsHost: (root, ...folders) => ({ microseconds: lookupTimes(fs, root, folders) }),
  async crc32c() {
    const { crc32c } = await import('@iomap/xfs-lite');
    const bytes = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
    const calls = 50_000;
    const run = () => {
      for (let i = 0; i < calls; i++) crc32c(bytes);
      return {};
    };
    run();
    return { gbPerSecond: (calls * bytes.length) / timed(run).seconds / 1e9 };
  },
  /** The npm package `ext2fs` over the same image: every file of the tree it is given. */
  async walkExt2fs(image) {
    const { default: filedisk } = await import('file-disk');
    const { default: ext2fs } = await import('ext2fs');
    const readAll = async (face) => {
      let files = 0;
      let bytes = 0;
      const folders = [''];
      for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
        for (const name of await face.readdir(folder === '' ? '/' : folder)) {
          const at = `${folder}/${name}`;
          if ((await face.stat(at)).isDirectory()) {
            if (name !== 'lost+found') folders.push(at);
          } else {
            bytes += (await face.readFile(at)).length;
            files++;
          }
        }
      }
      return { files, bytes };
    };
    return filedisk.withOpenFile(image, 'r', async (handle) => {
      const disk = new filedisk.FileDisk(handle, true);
      return ext2fs.withMountedDisk(disk, 0, async ({ promises }) => {
        const started = performance.now();
        const result = await readAll(promises);
        return { seconds: (performance.now() - started) / 1000, ...result };
      });
    });
  },
};

const result = await jobs[job](...args);
process.stdout.write(JSON.stringify({ ...result, maxRssBytes: process.resourceUsage().maxRSS * 1024 }));
