/** The real Linux driver, in a virtual machine: it reads what we wrote, and we read what it wrote. */
import {
  describeWithOracle,
  diffKernelLists,
  imageDevice,
  imageHost,
  LIST_SCRIPT,
  listLikeKernel,
  modelOf,
  parseKernelList,
  PROFILES,
  removeScratch,
  runInKernel,
  runWorkload,
  scratchDir,
  writeImage,
  type KernelList,
  type Profile,
  type VmJob,
} from '@iomap/conformance';
import { fixedEnv, runSync } from '@iomap/io';
import { testSeed } from '@iomap/tools/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BLOCK_FORMATS, minixFor, nameMaxOf, PLAIN_FORMATS, profileFor, type NamedFormat } from './driver.js';

const seed = testSeed();
const FORMATS = [...PLAIN_FORMATS, ...BLOCK_FORMATS];
const EDIT: Profile = { ...PROFILES.mixed, filesTarget: 120, dirsTarget: 30, bytesTarget: 4 * 2 ** 20, sparseMax: 2 ** 23 };

/** An image that our driver made and edited by random operations. */
function edited({ options, version }: NamedFormat, n: number): Uint8Array {
  const host = imageHost({ driver: minixFor(options), sizeBytes: 24 * 2 ** 20, format: options, judge: false });
  const profile = { ...profileFor(EDIT, version), nameMax: nameMaxOf(options, version) };
  runSync(runWorkload({ host, model: modelOf(profile), profile, seed: seed + n, ops: 1500, checkEvery: 1500 }));
  return host.bytes.slice();
}

function empty({ options }: NamedFormat): Uint8Array {
  const bytes = new Uint8Array(16 * 2 ** 20);
  const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 } });
  runSync(minixFor(options).mkfs(imageDevice(bytes), { env, ...options }));
  return bytes;
}

function ourList(format: NamedFormat, bytes: Uint8Array): KernelList {
  const fs = runSync(minixFor(format.options).mount(imageDevice(bytes, { readOnly: true }), { env: fixedEnv(), readOnly: true }));
  return runSync(listLikeKernel(fs));
}

/** Trees, big files, holes, deletions, symlinks, devices, a full disk; then the list of what is there. */
const WRITE_SCRIPT = `
exec 3>&1 >/dev/null
mkdir -p a/b/c many
cp /bin/busybox a/tool; cp /bin/busybox a/b/tool
n=0; while [ $n -lt 150 ]; do echo "$n" >many/f$n; n=$((n+1)); done
n=0; while [ $n -lt 150 ]; do rm many/f$n; n=$((n+3)); done
dd if=/bin/busybox of=sparse bs=1024 seek=9000 count=30 2>&1
dd if=/bin/busybox of=sparse bs=1024 seek=300 count=30 conv=notrunc 2>&1
dd if=/dev/zero of=big bs=1024 count=3000 2>&1; dd if=/bin/busybox of=big bs=1024 seek=600 conv=notrunc 2>&1
ln -s short s1; ln -s "$(head -c 300 /dev/zero | tr '\\0' x)" s300
mknod null c 1 3; mknod disk b 8 17; mkfifo pipe
ln a/tool hard; chmod 4711 hard; chown 12:34 many/f1; touch -d '2001-02-03 04:05:06' many/f2
rm a/b/tool; rmdir a/b/c; mv many/f4 a/b/moved
dd if=/bin/busybox of=cut bs=1024 count=700 2>&1; truncate -s 5001 cut
n=0; while cat /bin/busybox >fill$n 2>/dev/null; do n=$((n+1)); done
rm fill0
sync
exec >&3
${LIST_SCRIPT}`;

describeWithOracle(['kernel-vm', 'fsck-minix'], 'the Linux driver', () => {
  it('reads what we wrote as we do, and we read what it wrote', () => {
    const dir = scratchDir('iomap-minix-vm');
    try {
      const jobs: VmJob[] = [];
      const add = (name: string, bytes: Uint8Array, script: string, options?: string): void => {
        const image = join(dir, name);
        writeImage(image, bytes);
        jobs.push({ image, type: 'minix', script, ...(options === undefined ? {} : { options }) });
      };
      FORMATS.forEach((format, n) => add(`ours-${n}`, edited(format, n), LIST_SCRIPT, 'ro'));
      FORMATS.forEach((format, n) => add(`theirs-${n}`, empty(format), WRITE_SCRIPT));
      const answers = runInKernel(jobs);
      const problems: string[] = [];
      answers.forEach((answer, n) => {
        const format = FORMATS[n % FORMATS.length];
        const job = jobs[n];
        if (format === undefined || job === undefined) throw new RangeError('one answer for each job');
        const name = `seed ${seed}: ${job.image.slice(dir.length + 1)} ${format.name}`;
        if (answer.status !== 0) {
          problems.push(`${name}: status ${answer.status}: ${answer.messages}`);
          return;
        }
        const bytes = new Uint8Array(readFileSync(job.image));
        const list = parseKernelList(answer.output);
        expect(list.size).toBeGreaterThan(50);
        problems.push(...diffKernelLists(list, ourList(format, bytes)).map((line) => `${name}: ${line}`));
        const checked = runSync(minixFor(format.options).check(imageDevice(bytes, { readOnly: true })));
        problems.push(...checked.findings.slice(0, 5).map((line) => `${name}: ${line}`));
      });
      expect(problems).toEqual([]);
    } finally {
      removeScratch(dir);
    }
  }, 300_000);
});
