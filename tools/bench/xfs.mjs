/**
 * The benchmark's cases of XFS: beside the kernel's own driver on a loop device (as root), and xfs_repair. Without root, or without
 * xfsprogs, what needs them has no rows.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasCommand, inTurn, median, run } from './measure.mjs';

const MIB = 2 ** 20;
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const cli = path.join(root, 'packages/cli/dist/main.js');
const modules = path.join(root, 'node_modules');
const NAMES = 1_000_000;

const job = (name, ...args) =>
  JSON.parse(run(process.execPath, [path.join(here, 'worker.mjs'), name, ...args.map(String)]).stdout);

const hasKernel = () => process.getuid() === 0 && hasCommand('mkfs.xfs');
const SKIPPED = 'needs root and xfsprogs';

const row = (name, ours, peer, theirs, unit, limit) => ({ name, ours, peer, theirs, unit, ratio: ours / theirs, limit });

/** Runs `use` with the image mounted. */
function mounted(image, folder, options, use) {
  fs.mkdirSync(folder, { recursive: true });
  run('mount', ['-t', 'xfs', '-o', options, image, folder]);
  try {
    return use();
  } finally {
    run('umount', [folder]);
  }
}

/** An empty image by mkfs.xfs. */
function format(image, sizeBytes) {
  fs.rmSync(image, { force: true });
  fs.writeFileSync(image, '');
  fs.truncateSync(image, sizeBytes);
  run('mkfs.xfs', ['-q', image]);
}

const seconds = (work) => {
  const started = performance.now();
  work();
  return (performance.now() - started) / 1000;
};

const ours = (work) => path.join(work, 'xfs-ours.img');

function imageOfModules(work) {
  if (!fs.existsSync(ours(work))) run(process.execPath, [cli, 'build', '-t', 'xfs', modules, ours(work)]);
  return ours(work);
}

/** An image with a folder of a thousand names and one of a million, links to the same thousand files. */
function imageOfNames(work) {
  const image = path.join(work, 'xfs-names.img');
  if (fs.existsSync(image)) return image;
  format(image, 1024 * MIB);
  const folder = path.join(work, 'xfs-loop');
  const name = (i) => `file-${String(i).padStart(7, '0')}`;
  mounted(image, folder, 'loop', () => {
    for (const one of ['few', 'many']) fs.mkdirSync(path.join(folder, one));
    for (let i = 0; i < 1000; i++) fs.writeFileSync(`${folder}/few/${name(i)}`, '');
    for (let i = 0; i < NAMES; i++) fs.linkSync(`${folder}/few/${name(i % 1000)}`, `${folder}/many/${name(i)}`);
  });
  return image;
}

/** Build of the repository's node_modules beside mkfs.xfs, a loop mount, `cp -a` and the unmount. */
export function xfsBuild({ work, rounds, log }) {
  const image = ours(work);
  const theirImage = path.join(work, 'xfs-theirs.img');
  const contestants = [
    {
      name: 'iomap build',
      before: () => fs.rmSync(image, { force: true }),
      measure: () => run(process.execPath, [cli, 'build', '-t', 'xfs', modules, image]).seconds,
    },
  ];
  const peer = 'mkfs.xfs, mount, cp -a, umount';
  if (hasKernel()) {
    const folder = path.join(work, 'xfs-loop');
    contestants.push({
      name: peer,
      measure: () =>
        seconds(() => {
          format(theirImage, 1024 * MIB);
          mounted(theirImage, folder, 'loop', () => run('cp', ['-a', modules, folder]));
        }),
      after: () => fs.rmSync(theirImage, { force: true }),
    });
  }
  const runs = inTurn(contestants, rounds, log);
  if (!hasKernel()) return { rows: [], runs, skipped: SKIPPED };
  return { rows: [row('build of node_modules', runs['iomap build'].median, peer, runs[peer].median, 's', 'at most 1.5')], runs };
}

/** Every file of that image read in a fresh process, beside the kernel on a warm mount of the same image. */
export function xfsReadBack({ work, rounds, log }) {
  const image = imageOfModules(work);
  const contestants = [{ name: 'iomap sync face', measure: () => job('walkImage', image, 'xfs').seconds }];
  if (!hasKernel()) return { rows: [], runs: inTurn(contestants, rounds, log), skipped: SKIPPED };
  const folder = path.join(work, 'xfs-loop');
  return mounted(image, folder, 'loop,ro', () => {
    const peer = 'kernel loop mount, warm';
    const runs = inTurn([...contestants, { name: peer, measure: () => job('walkHost', folder).seconds }], rounds, log);
    const [mine, theirs] = [runs['iomap sync face'].median, runs[peer].median];
    return { rows: [row('read node_modules back', mine, peer, theirs, 's', 'at most 1.5')], runs };
  });
}

/** stat by chance in a directory of a million names beside one of a thousand, ours and the kernel's. */
export function xfsLookup({ work, rounds, log }) {
  if (!hasKernel()) return { rows: [], runs: {}, skipped: SKIPPED };
  const image = imageOfNames(work);
  const folders = ['/few:1000', `/many:${NAMES}`];
  const folder = path.join(work, 'xfs-loop');
  return mounted(image, folder, 'loop,ro', () => {
    const answers = { ours: [], kernel: [] };
    for (let round = 0; round < rounds; round++) {
      answers.ours.push(job('lookups', image, ...folders).microseconds);
      answers.kernel.push(job('lookupsHost', folder, ...folders).microseconds);
      log(`look-ups in 1,000 and 1,000,000 names: ${JSON.stringify([answers.ours.at(-1), answers.kernel.at(-1)])} µs`);
    }
    const middle = (list, i) => median(list.map((one) => one[i]));
    const [few, many] = [middle(answers.ours, 0), middle(answers.ours, 1)];
    const rows = [
      row('stat in 1,000,000 names, each looked up in its directory', many, 'the same in 1,000 names', few, 'µs', 'at most 2'),
      row('stat in 1,000,000 names', many, 'kernel loop mount, warm', middle(answers.kernel, 1), 'µs', ''),
    ];
    return { rows, runs: answers };
  });
}

/** `iomap fsck` beside `xfs_repair -n`, whole commands. */
export function xfsCheck({ work, rounds, log }) {
  if (!hasKernel()) return { rows: [], runs: {}, skipped: SKIPPED };
  const images = [['node_modules', imageOfModules(work)], ['1,000,000 names', imageOfNames(work)]];
  const rows = [];
  const runs = {};
  for (const [what, image] of images) {
    const result = inTurn(
      [
        { name: 'iomap fsck', measure: () => run(process.execPath, [cli, 'fsck', image]).seconds },
        { name: 'xfs_repair -n', measure: () => run('xfs_repair', ['-n', image]).seconds },
      ],
      rounds,
      log,
    );
    runs[what] = result;
    rows.push(row(`check of ${what}`, result['iomap fsck'].median, 'xfs_repair -n', result['xfs_repair -n'].median, 's', 'aim: 1.5'));
  }
  return { rows, runs };
}

/** The checksum of metadata blocks. */
export function xfsCrc({ rounds }) {
  const runs = Array.from({ length: rounds }, () => job('crc32c').gbPerSecond);
  const value = median(runs);
  return { rows: [{ name: 'CRC32C of 4 KiB', ours: value, peer: '', theirs: null, unit: 'GB/s', ratio: null, limit: 'at least 1, aim: 2' }], runs };
}
