/**
 * The benchmark's cases of a mounted image: `iomap mount` beside fuse2fs and the kernel's own driver on a loop device, each
 * on an image of its own made by the same mke2fs. Needs root, /dev/fuse, fuse2fs and fio; without them the cases have no rows.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasCommand, inTurn, median, run } from './measure.mjs';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
/** IOMAP_BENCH_COMMAND: another build of the command, for trials. */
const cli = process.env.IOMAP_BENCH_COMMAND ?? path.join(root, 'packages/cli/dist/main.js');
const modules = path.join(root, 'node_modules');

const job = (name, ...args) =>
  JSON.parse(run(process.execPath, [path.join(here, 'worker.mjs'), name, ...args.map(String)]).stdout);

/** Until no process has the image open: fuse2fs, and the loop device, go on for a moment after umount(8). */
function waitForRelease(image) {
  for (let tries = 0; tries < 2000; tries++) {
    const isServed = spawnSync('pgrep', ['-f', `^fuse2fs ${image}`], { stdio: 'ignore' }).status === 0;
    const isLooped = spawnSync('losetup', ['-j', image], { encoding: 'utf8' }).stdout !== '';
    if (!isServed && !isLooped) return;
    spawnSync('sleep', ['0.01']);
  }
  throw new Error(`${image} is still in use`);
}

const umount = (folder, image) => {
  run('umount', ['-i', folder]);
  waitForRelease(image);
};

const DRIVERS = [
  {
    name: 'iomap',
    mount: (image, folder) => run(process.execPath, [cli, 'mount', image, folder]),
    unmount: (folder) => run(process.execPath, [cli, 'umount', folder]),
  },
  { name: 'fuse2fs', mount: (image, folder) => run('fuse2fs', [image, folder]), unmount: umount },
  { name: 'kernel, loop', mount: (image, folder) => run('mount', ['-t', 'ext2', '-o', 'loop', image, folder]), unmount: umount },
];

const missing = () => [
  ...(process.getuid() === 0 ? [] : ['root']),
  ...(fs.existsSync('/dev/fuse') ? [] : ['/dev/fuse']),
  ...['fuse2fs', 'fio', 'mke2fs'].filter((command) => !hasCommand(command)),
];

/** A driver's image and folder in `work`, mounted and unmounted by name. */
function place(work, driver) {
  const name = driver.name.replace(/\W+/g, '-');
  const image = path.join(work, `mounted-${name}.img`);
  const folder = path.join(work, `mounted-${name}`);
  fs.mkdirSync(folder, { recursive: true });
  let isMounted = false;
  return {
    folder,
    format(size) {
      fs.rmSync(image, { force: true });
      run('mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '4096', image, size]);
    },
    mount() {
      driver.mount(image, folder);
      isMounted = true;
    },
    unmount() {
      driver.unmount(folder, image);
      isMounted = false;
    },
    remove() {
      if (isMounted) spawnSync('umount', ['-l', folder], { stdio: 'ignore' });
      fs.rmSync(image, { force: true });
    },
  };
}

/** Writes what is dirty of the host's own, so that no contestant pays for the one before. */
const settle = () => run('sync', []);

/**
 * Runs `measure` (seconds) for all drivers in turn, each on its own place.
 * @param steps `{ size, prepare?, fresh?, measure }`: an image of `size` is made and prepared once, or anew for each round
 */
function compare(work, rounds, log, { size, prepare, fresh, measure }) {
  const places = DRIVERS.map((driver) => place(work, driver));
  const make = (one) => {
    one.format(size);
    if (prepare === undefined) return;
    one.mount();
    prepare(one.folder);
    one.unmount();
  };
  try {
    if (!fresh) places.forEach(make);
    return inTurn(
      DRIVERS.map(({ name }, at) => ({
        name,
        before: () => {
          if (fresh) make(places[at]);
          settle();
          places[at].mount();
        },
        measure: () => measure(places[at].folder, () => places[at].unmount(), name),
        after: () => spawnSync('mountpoint', ['-q', places[at].folder]).status === 0 && places[at].unmount(),
      })),
      rounds,
      log,
    );
  } finally {
    for (const one of places) one.remove();
  }
}

const LIMITS = { fuse2fs: 'fuse2fs', 'kernel, loop': '' };

/** Rows of iomap beside each peer. `value` turns a median of seconds into the figure that is shown. */
function rowsOf(name, result, wanted, unit = 's', value = (seconds) => seconds) {
  const ours = value(result.iomap.median);
  return Object.keys(LIMITS).map((peer) => {
    const theirs = value(result[peer].median);
    return {
      name: `mounted: ${name}`,
      ours,
      peer,
      theirs,
      unit,
      ratio: ours / theirs,
      limit: peer === 'fuse2fs' ? wanted : '',
    };
  });
}

/** The cases do nothing where they cannot run. */
const guarded = (body) => (context) => {
  const lacking = missing();
  if (lacking.length === 0) return body(context);
  context.log(`skipped: needs ${lacking.join(', ')}`);
  return { rows: [], skipped: lacking };
};

const copyIn = (folder) => run('cp', ['-a', modules, folder]).seconds;

/** node_modules copied in, with and without the unmount that makes it durable; walked and read, on a fresh mount and again. */
export const mountedTree = guarded(({ work, rounds, log }) => {
  const withUnmount = { iomap: [], fuse2fs: [], 'kernel, loop': [] };
  const copy = compare(work, rounds, log, {
    size: '1G',
    fresh: true,
    measure: (folder, unmount, name) => {
      const started = performance.now();
      const seconds = copyIn(folder);
      unmount();
      withUnmount[name].push((performance.now() - started) / 1000);
      return seconds;
    },
  });
  const durable = Object.fromEntries(
    Object.entries(withUnmount).map(([name, seconds]) => [name, { seconds: seconds.slice(1), median: median(seconds.slice(1)) }]),
  );
  const again = { iomap: [], fuse2fs: [], 'kernel, loop': [] };
  const walk = compare(work, rounds, log, {
    size: '1G',
    prepare: copyIn,
    measure: (folder, _unmount, name) => {
      const { seconds } = job('walkHost', path.join(folder, 'node_modules'));
      again[name].push(job('walkHost', path.join(folder, 'node_modules')).seconds);
      return seconds;
    },
  });
  const walkAgain = Object.fromEntries(
    Object.entries(again).map(([name, seconds]) => [name, { seconds: seconds.slice(1), median: median(seconds.slice(1)) }]),
  );
  return {
    rows: [
      ...rowsOf('cp -a of node_modules', copy, 'at most 0.5'),
      ...rowsOf('cp -a of node_modules and unmount', durable, ''),
      ...rowsOf('walk and read node_modules, fresh mount', walk, 'at most 0.5, aim 0.25'),
      ...rowsOf('the same again', walkAgain, 'at most 0.5, aim 0.25'),
    ],
    runs: { copy, durable, walk, walkAgain },
  };
});

/** A file of 1 GiB in calls of 1 MiB: written and fsynced, read on a fresh mount. */
export const mountedSequential = guarded(({ work, rounds, log }) => {
  const speed = (seconds) => 1024 / seconds;
  const file = (folder) => path.join(folder, 'big');
  const write = compare(work, rounds, log, {
    size: '1200M',
    fresh: true,
    measure: (folder) => job('writeRaw', file(folder), MIB, GIB).durableSeconds,
  });
  const read = compare(work, rounds, log, {
    size: '1200M',
    prepare: (folder) => job('writeRaw', file(folder), MIB, GIB),
    measure: (folder) => job('readRaw', file(folder), MIB, 0, GIB).seconds,
  });
  return {
    rows: [
      ...rowsOf('1 GiB, write and fsync', write, 'at least 1', 'MiB/s', speed),
      ...rowsOf('1 GiB, read, fresh mount', read, 'at least 1', 'MiB/s', speed),
    ],
    runs: { write, read },
  };
});

/** fio, one job of 4 KiB calls at random places of a file of 256 MiB. Seconds for `FIO_CALLS` calls. */
const FIO_CALLS = 16_384;
function fio(folder, rw) {
  const said = run('fio', [
    '--name=job', `--filename=${path.join(folder, 'data')}`, `--rw=${rw}`, '--bs=4k', '--size=256M', `--io_size=${FIO_CALLS * 4}k`,
    '--ioengine=psync', '--randrepeat=1', '--end_fsync=1', '--output-format=json',
  ]).stdout;
  const { jobs } = JSON.parse(said.slice(said.indexOf('{')));
  return jobs[0].job_runtime / 1000;
}

export const mountedRandom = guarded(({ work, rounds, log }) => {
  const rate = (seconds) => FIO_CALLS / seconds;
  const prepare = (folder) => job('writeRaw', path.join(folder, 'data'), MIB, 256 * MIB);
  const read = compare(work, rounds, log, { size: '400M', prepare, measure: (folder) => fio(folder, 'randread') });
  const write = compare(work, rounds, log, { size: '400M', prepare, measure: (folder) => fio(folder, 'randwrite') });
  return {
    rows: [
      ...rowsOf('fio, 4 KiB random reads, fresh mount', read, 'at least 1', '/s', rate),
      ...rowsOf('fio, 4 KiB random writes and fsync', write, 'at least 1', '/s', rate),
    ],
    runs: { read, write },
  };
});

/** Names: 10,000 empty files made, asked for and removed, 100 to a folder. */
const NAMES = 10_000;
export const mountedNames = guarded(({ work, rounds, log }) => {
  const parts = { createSeconds: {}, statSeconds: {}, unlinkSeconds: {} };
  compare(work, rounds, log, {
    size: '200M',
    fresh: true,
    measure: (folder, _unmount, name) => {
      const answer = job('names', folder, NAMES);
      for (const part of Object.keys(parts)) (parts[part][name] ??= []).push(answer[part]);
      return answer.createSeconds + answer.statSeconds + answer.unlinkSeconds;
    },
  });
  const resultOf = (part) =>
    Object.fromEntries(Object.entries(parts[part]).map(([name, seconds]) => [name, { seconds, median: median(seconds.slice(1)) }]));
  const rows = (what, part) => rowsOf(what, resultOf(part), 'at least 1', '/s', (seconds) => NAMES / seconds);
  return {
    rows: [...rows('files made', 'createSeconds'), ...rows('stat', 'statSeconds'), ...rows('files removed', 'unlinkSeconds')],
    runs: parts,
  };
});
