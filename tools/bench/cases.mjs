/** The benchmark's cases: each prepares its inputs in `work`, measures contestants in turn and answers rows of ratios. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasCommand, inTurn, median, run } from './measure.mjs';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const cli = path.join(root, 'packages/cli/dist/main.js');

/** Runs a job of worker.mjs in a fresh process; its JSON answer. */
const job = (name, ...args) =>
  JSON.parse(run(process.execPath, [path.join(here, 'worker.mjs'), name, ...args.map(String)]).stdout);

const folderFacts = (folder) => {
  let files = 0;
  let bytes = 0;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    files++;
    bytes += fs.lstatSync(path.join(entry.parentPath, entry.name)).size;
  }
  return { files, bytes };
};

/** Mounts an image through a loop device; the folder and how to let go of it. Root only. */
function loopMount(image, folder) {
  fs.mkdirSync(folder, { recursive: true });
  run('mount', ['-t', 'ext2', '-o', 'loop,ro', image, folder]);
  return () => run('umount', [folder]);
}

const ratioRow = (name, ours, theirs, limit, unit = 's') => ({
  name,
  ours: ours.value,
  peer: theirs.name,
  theirs: theirs.value,
  unit,
  ratio: theirs.value === 0 ? null : ours.value / theirs.value,
  limit,
});

/** Build of the repository's node_modules beside `mke2fs -d` (and genext2fs, where there is one). */
export function build({ work, rounds, log }) {
  const source = path.join(root, 'node_modules');
  const image = path.join(work, 'build-ours.img');
  const peerImage = path.join(work, 'build-peer.img');
  const remove = (file) => () => fs.rmSync(file, { force: true });
  const facts = folderFacts(source);
  const size = `${Math.ceil((facts.bytes * 1.5) / MIB) + 200}M`;
  const contestants = [
    {
      name: 'iomap build',
      before: remove(image),
      measure: () => run(process.execPath, [cli, 'build', '-t', 'ext2', source, image]).seconds,
    },
    {
      name: 'mke2fs -d',
      before: remove(peerImage),
      measure: () =>
        run('mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '4096', '-N', '40000', '-d', source, peerImage, size]).seconds,
    },
  ];
  if (hasCommand('genext2fs')) {
    const blocks = String(Math.ceil((facts.bytes * 1.6) / 4096) + 50_000);
    contestants.push({
      name: 'genext2fs',
      before: remove(peerImage),
      measure: () =>
        run('genext2fs', ['-B', '4096', '-b', blocks, '-N', '40000', '-d', source, peerImage]).seconds,
    });
  }
  const result = inTurn(contestants, rounds, log);
  remove(peerImage)();
  const ours = { value: result['iomap build'].median };
  return {
    input: { ...facts, source: 'node_modules' },
    rows: contestants
      .slice(1)
      .map(({ name }) =>
        ratioRow(
          'build of node_modules',
          ours,
          { name, value: result[name].median },
          name === 'mke2fs -d' ? 'at most 1.5' : '',
        ),
      ),
    runs: result,
  };
}

/** The image of node_modules that `build` left, or a new one. */
function imageOfModules(work) {
  const image = path.join(work, 'build-ours.img');
  if (!fs.existsSync(image)) run(process.execPath, [cli, 'build', '-t', 'ext2', path.join(root, 'node_modules'), image]);
  return image;
}

/** Every file read back in a fresh process, beside a warm kernel loop mount and the source folder itself. */
export function readBack({ work, rounds, log }) {
  const image = imageOfModules(work);
  const folder = path.join(work, 'loop');
  const kernel = process.getuid() === 0;
  const release = kernel ? loopMount(image, folder) : () => undefined;
  try {
    const contestants = [
      { name: 'iomap sync face', measure: () => job('walkImage', image).seconds },
      { name: 'source folder', measure: () => job('walkHost', path.join(root, 'node_modules')).seconds },
    ];
    if (kernel) contestants.push({ name: 'kernel loop mount, warm', measure: () => job('walkHost', folder).seconds });
    const result = inTurn(contestants, rounds, log);
    const ours = { value: result['iomap sync face'].median };
    return {
      rows: contestants
        .slice(1)
        .map(({ name }) =>
          ratioRow(
            'read node_modules back',
            ours,
            { name, value: result[name].median },
            name.startsWith('kernel') ? 'at most 1.5' : '',
          ),
        ),
      runs: result,
    };
  } finally {
    release();
  }
}

/**
 * Per file, beside the npm package `ext2fs`. It does not get through the image of node_modules, so it reads a part of it
 * that it survives (node_modules/nx); we read the same part, and the whole.
 */
export function readBackNpm({ work, rounds, log }) {
  const whole = imageOfModules(work);
  const part = path.join(work, 'part.img');
  fs.rmSync(part, { force: true });
  run('mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '4096', '-d', path.join(root, 'node_modules/nx'), part, '128M']);
  const perFile = (answer) => answer.seconds / answer.files;
  const result = inTurn(
    [
      { name: 'iomap, all of node_modules', measure: () => perFile(job('walkImage', whole)) },
      { name: 'iomap, node_modules/nx', measure: () => perFile(job('walkImage', part)) },
      { name: 'npm ext2fs, node_modules/nx', measure: () => perFile(job('walkExt2fs', part)) },
    ],
    rounds,
    log,
  );
  const rate = (name) => 1 / result[name].median;
  const row = (name, ours, limit) => ({
    name,
    ours: rate(ours),
    peer: 'npm ext2fs, node_modules/nx',
    theirs: rate('npm ext2fs, node_modules/nx'),
    unit: 'files/s',
    ratio: rate(ours) / rate('npm ext2fs, node_modules/nx'),
    limit,
  });
  return {
    rows: [
      row('files read per second, all of node_modules', 'iomap, all of node_modules', 'at least 50'),
      row('files read per second, node_modules/nx', 'iomap, node_modules/nx', ''),
    ],
    runs: result,
  };
}

/** A 1 GiB file in 1 MiB calls, beside the host's own calls on a plain file of the same bytes. */
export function sequential({ work, rounds, log }) {
  const image = path.join(work, 'sequential.img');
  const raw = path.join(work, 'sequential.raw');
  const remove = (file) => () => fs.rmSync(file, { force: true });
  const makeImage = () => {
    remove(image)();
    run(process.execPath, [cli, 'mkfs', '-t', 'ext2', '--size', '1200M', image]);
  };
  // The calls alone, and with an fsync after them, from the same runs.
  const durable = { 'iomap write and fsync': [], 'raw fs.writeSync and fsync': [] };
  const writing = (name, ...args) => {
    const answer = job(...args);
    durable[name].push(answer.durableSeconds);
    return answer.seconds;
  };
  const writes = inTurn(
    [
      {
        name: 'iomap write',
        before: makeImage,
        measure: () => writing('iomap write and fsync', 'writeImage', image, '/big', MIB, GIB),
      },
      {
        name: 'raw fs.writeSync',
        before: remove(raw),
        measure: () => writing('raw fs.writeSync and fsync', 'writeRaw', raw, MIB, GIB),
      },
    ],
    rounds,
    log,
  );
  const counted = (seconds) => ({ seconds: seconds.slice(1), median: median(seconds.slice(1)) });
  const durables = Object.fromEntries(Object.entries(durable).map(([name, seconds]) => [name, counted(seconds)]));
  const reads = inTurn(
    [
      { name: 'iomap read', measure: () => job('readImage', image, '/big', MIB).seconds },
      // The same bytes: those of the image itself, where the file's data lies in its host's cache.
      { name: 'raw fs.readSync', measure: () => job('readRaw', image, MIB, 16 * MIB, 16 * MIB + GIB).seconds },
    ],
    rounds,
    log,
  );
  remove(image)();
  remove(raw)();
  const speed = (runs, name) => 1024 / runs[name].median;
  const row = (what, runs, ours, theirs) => ({
    name: what,
    ours: speed(runs, ours),
    peer: theirs,
    theirs: speed(runs, theirs),
    unit: 'MiB/s',
    ratio: speed(runs, ours) / speed(runs, theirs),
    limit: 'at least 0.5',
  });
  return {
    rows: [
      row('1 GiB in 1 MiB calls, read', reads, 'iomap read', 'raw fs.readSync'),
      row('1 GiB in 1 MiB calls, write', writes, 'iomap write', 'raw fs.writeSync'),
      {
        ...row(
          '1 GiB in 1 MiB calls, write and fsync',
          durables,
          'iomap write and fsync',
          'raw fs.writeSync and fsync',
        ),
        limit: '',
      },
    ],
    runs: { ...writes, ...durables, ...reads },
  };
}

/** Calls that hit the caches. */
export function hot({ work, rounds }) {
  const image = path.join(work, 'hot.img');
  const answers = [];
  for (let round = 0; round < rounds; round++) {
    fs.rmSync(image, { force: true });
    run(process.execPath, [cli, 'mkfs', '-t', 'ext2', '--size', '128M', image]);
    answers.push(job('hotCalls', image));
  }
  fs.rmSync(image, { force: true });
  const row = (name, key) => ({
    name,
    ours: median(answers.map((one) => one[key])),
    peer: '',
    theirs: null,
    unit: '/s',
    ratio: null,
    limit: 'at least 500,000',
  });
  return {
    rows: [row('4 KiB random reads of cached data', 'readsPerSecond'), row('stat of cached paths', 'statsPerSecond')],
    runs: answers,
  };
}

/** Peak memory of a build with a 4 GiB file, as the host accounts for the whole process. */
export function memory({ work, log }) {
  const folder = path.join(work, 'huge');
  const image = path.join(work, 'huge.img');
  fs.mkdirSync(folder, { recursive: true });
  const chunk = Buffer.alloc(4 * MIB, 0xa5);
  const fd = fs.openSync(path.join(folder, 'huge.bin'), 'w');
  for (let i = 0; i < 1024; i++) fs.writeSync(fd, chunk);
  fs.closeSync(fd);
  // The child prints its own peak when it ends; the command itself stays untouched.
  const script = `process.on('exit',()=>process.stderr.write('peak '+process.resourceUsage().maxRSS));`;
  const preload = path.join(work, 'peak.cjs');
  fs.writeFileSync(preload, script);
  const started = Date.now();
  const printed = run('sh', [
    '-c',
    `exec "$0" --require "$1" "$2" build -t ext2 "$3" "$4" 2>&1`,
    process.execPath,
    preload,
    cli,
    folder,
    image,
  ]).stdout;
  const seconds = (Date.now() - started) / 1000;
  const peakMiB = Number(/peak (\d+)/.exec(printed)?.[1]) / 1024;
  log(`build with a 4 GiB file: ${seconds.toFixed(1)} s, peak ${peakMiB.toFixed(0)} MiB`);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.rmSync(image, { force: true });
  return {
    rows: [
      {
        name: 'peak memory, build with a 4 GiB file',
        ours: peakMiB * 1.048576,
        peer: '',
        theirs: null,
        unit: 'MB',
        ratio: null,
        limit: 'under 300',
      },
    ],
    runs: { seconds, peakMiB },
  };
}

export const machine = () => ({
  cpus: os.cpus().length,
  model: os.cpus()[0]?.model ?? 'unknown',
  memoryGiB: Math.round(os.totalmem() / GIB),
  kernel: os.release(),
  node: process.version,
});
