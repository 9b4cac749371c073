/**
 * npm run vm -- TYPE[,OPTIONS] IMAGE... < SCRIPT: a shell script inside a real Linux kernel, once for each image, which it finds
 * mounted at /mnt (busybox is its shell). For filesystems that the running kernel lacks, or where the caller is not root.
 *
 * Prints what the script prints, image after image; exits with the highest status (97: could not mount, 98: did not finish).
 * What it needs is in packages/conformance/src/kernel-vm.ts; with CI=true and as root, that installs it from Debian.
 */
import { buildSync } from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const [form = '', ...images] = process.argv.slice(2);
if (form === '' || images.length === 0) {
  process.stderr.write('usage: npm run vm -- TYPE[,OPTIONS] IMAGE... < SCRIPT\n');
  process.exit(2);
}
const bundle = path.join(root, 'tmp/kernel-vm/vm.mjs');
buildSync({
  entryPoints: [path.join(root, 'packages/conformance/src/kernel-vm.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  conditions: ['@iomap/source'],
});
const { findVm, runInKernel } = await import(pathToFileURL(bundle).href);
if (findVm() === undefined) {
  process.stderr.write('no kernel to boot: needs qemu-system-x86_64, a static busybox and a kernel (run as root with CI=true to get them)\n');
  process.exit(98);
}
const [type, ...options] = form.split(',');
const script = fs.readFileSync(0, 'latin1');
const jobs = images.map((image) => ({ image: path.resolve(image), type, options: options.join(','), script }));
let status = 0;
for (const [i, result] of runInKernel(jobs).entries()) {
  if (images.length > 1) process.stdout.write(`== ${images[i]}\n`);
  process.stdout.write(result.output);
  process.stderr.write(result.messages);
  status = Math.max(status, result.status);
}
process.exitCode = status;
