/** POSIX behaviour, call by call, of our mounts and of the kernel's. */
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { provideCommand, removeScratch, scratchDir, withLoopMount } from '@iomap/conformance';
import { Bench, describeMounted, sh } from '../harness.js';
import { ROOT, type Case } from './case.js';
import { FULL_CASES } from './cases/full.js';
import { CASES } from './cases/index.js';
import { LINK_MAX_CASES } from './cases/names.js';
import { PREPARATION, READ_ONLY_CASES } from './cases/read-only.js';
import { compareCase, countAssertions, type Answer, type Deviation } from './compare.js';
import { renderDocument } from './document.js';
import { judge, KNOWN_DIFFERENCES, MOUNT_NAMES, type MountName } from './known-differences.js';
import { runCases } from './run.js';

const ALL = [...CASES, ...LINK_MAX_CASES, ...READ_ONLY_CASES, ...FULL_CASES];
const GROUPS = [...new Set(ALL.map(({ group }) => group))];
const ASSERTIONS = countAssertions(ALL);

/** An image, how it is mounted and what is run there. */
interface Part {
  readonly cases: readonly Case[];
  readonly sizeMib: number;
  readonly format: string;
  readonly prepare?: readonly Case[];
  readonly readOnly: boolean;
  /** On which of ours; on the kernel's always. */
  readonly mounts: readonly MountName[];
}

/** No other user makes a call. */
const isRootAlone = ({ steps }: Case): boolean => steps.every(({ user }) => user === ROOT);

const PARTS: readonly Part[] = [
  { cases: CASES, sizeMib: 96, format: '-b 4096 -N 20000', readOnly: false, mounts: MOUNT_NAMES },
  { cases: LINK_MAX_CASES, sizeMib: 16, format: '-b 4096', readOnly: false, mounts: ['default'] },
  { cases: READ_ONLY_CASES, sizeMib: 16, format: '-b 4096', prepare: PREPARATION, readOnly: true, mounts: ['default', 'server_permissions'] },
  // With a writeback cache what is full is told late.
  { cases: FULL_CASES, sizeMib: 1, format: '-b 4096 -N 64 -m 10', readOnly: false, mounts: ['default', 'server_permissions'] },
];

describe('the cases of the POSIX suite', () => {
  it('are as many as promised, each with something to assert and a name of its own', () => {
    expect(ASSERTIONS).toBeGreaterThanOrEqual(1500);
    expect(ALL.filter((one) => countAssertions([one]) === 0)).toEqual([]);
    expect(new Set(ALL.map(({ group, name }) => `${group}: ${name}`)).size).toBe(ALL.length);
    expect(KNOWN_DIFFERENCES.filter(({ reason }) => reason.length < 20)).toEqual([]);
  });

  it('are what docs/posix.md says', () => {
    const path = join(__dirname, '../../docs/posix.md');
    const text = renderDocument(ALL);
    if (process.env['IOMAP_WRITE_DOCS'] === '1') writeFileSync(path, text);
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('find a fact that is wrong, one that is unlisted and one that is listed and gone', () => {
    const one: Case = { group: 'g', name: 'n', steps: [{ user: '0:0', call: ['stat', 'f'], expected: { size: 1, nlink: 1 } }] };
    expect(compareCase(one, [{ size: 1, nlink: 1, uid: 5 }])).toEqual([]);
    expect(compareCase(one, [{ size: 2, nlink: 1 }])).toEqual([{ group: 'g', name: 'n', step: 'stat f .size', expected: '1', got: '2' }]);
    expect(compareCase(one, ['ENOENT'])).toHaveLength(1);
    expect(compareCase({ ...one, steps: [{ user: '0:0', call: ['mkdir', 'd'], expected: undefined }] }, ['EEXIST'])).toHaveLength(1);
    const stranger = { group: 'g', name: 'n', step: 'stat f', expected: 'ok', got: 'EIO' };
    const verdict = judge('default', [stranger]);
    expect(verdict.unlisted).toEqual([stranger]);
    expect(verdict.gone.length).toBeGreaterThan(0);
  });
});

const python = provideCommand('python3');
const describePosix = python !== undefined || process.env['CI'] === 'true' ? describeMounted : describe.skip;

describePosix(`POSIX: ${ASSERTIONS} assertions`, () => {
  const benches = { default: new Bench(), server_permissions: new Bench(), writeback_cache: new Bench() };
  const other = scratchDir('iomap-posix');
  const images = new Map<Part, string>();
  const byKernel: Deviation[] = [];
  const ours: Record<MountName, Deviation[]> = { default: [], server_permissions: [], writeback_cache: [] };

  const callAll = (cases: readonly Case[], dir: string, elsewhere: string): Promise<Answer[][]> =>
    runCases(python ?? 'python3', cases, dir, elsewhere);

  const deviations = (cases: readonly Case[], answers: readonly (readonly Answer[])[]): Deviation[] =>
    cases.flatMap((one, i) => compareCase(one, answers[i] ?? []));

  /** An image for each part, and what is prepared there by the kernel. */
  async function format(): Promise<void> {
    for (const [i, part] of PARTS.entries()) {
      const image = join(other, `part${i}.img`);
      sh(`truncate -s ${part.sizeMib}M '${image}'; mke2fs -q -F -t ext2 ${part.format} '${image}'`);
      const { prepare } = part;
      if (prepare !== undefined) {
        const answers = await withLoopMount(image, { type: 'ext2' }, (dir) => callAll(prepare, dir, other));
        expect(deviations(prepare, answers)).toEqual([]);
      }
      images.set(part, image);
    }
  }

  async function runKernel(): Promise<void> {
    const copy = join(other, 'kernel.img');
    for (const part of PARTS) {
      copyFileSync(images.get(part) ?? '', copy);
      const options = part.readOnly ? ['ro'] : [];
      const answers = await withLoopMount(copy, { type: 'ext2', options }, (dir) => callAll(part.cases, dir, other));
      byKernel.push(...deviations(part.cases, answers));
    }
  }

  /** Runs the cases on a mount of a fresh image with these options. */
  async function runOn(name: MountName, part: Part, cases: readonly Case[], options: readonly string[]): Promise<void> {
    const bench = benches[name];
    copyFileSync(images.get(part) ?? '', bench.image);
    await bench.mount([...options, ...(part.readOnly ? ['ro'] : [])].join());
    ours[name].push(...deviations(cases, await callAll(cases, bench.mnt, other)));
    await bench.unmount();
    bench.check();
  }

  async function runOurs(name: MountName): Promise<void> {
    for (const part of PARTS.filter(({ mounts }) => mounts.includes(name))) {
      if (name === 'default') {
        // By default only root may come, and the kernel checks nothing; with `allow_other` it does.
        await runOn(name, part, part.cases.filter(isRootAlone), []);
        await runOn(name, part, part.cases.filter((one) => !isRootAlone(one)), ['allow_other']);
      } else {
        await runOn(name, part, part.cases, ['allow_other', name]);
      }
    }
  }

  beforeAll(async () => {
    // Other users come by here on their way to the mounts.
    for (const dir of [other, ...Object.values(benches).map((bench) => bench.dir)]) chmodSync(dir, 0o755);
    await format();
    await Promise.all([runKernel(), ...MOUNT_NAMES.map(runOurs)]);
  }, 300_000);

  afterAll(() => {
    for (const bench of Object.values(benches)) bench.dispose();
    removeScratch(other);
    process.stdout.write(`POSIX: ${ALL.length} cases, ${ASSERTIONS} assertions, by the kernel's driver and on ${MOUNT_NAMES.length} mounts of ours\n`);
  });

  it.each(GROUPS)('%s, by the kernel\'s own driver', (group) => {
    expect(byKernel.filter((one) => one.group === group)).toEqual([]);
  });

  describe.each(MOUNT_NAMES)('%s', (name) => {
    it.each(GROUPS)('%s', (group) => {
      expect(judge(name, ours[name]).unlisted.filter((one) => one.group === group)).toEqual([]);
    });

    it('what is listed as different is so', () => {
      expect(judge(name, ours[name]).gone).toEqual([]);
    });
  });
});
