/**
 * Bundles the `iomap` command: `node tools/scripts/bundle.mjs`, after `tsc`, as part of the build of packages/cli.
 *
 * A command of many small modules spends more time in finding and reading them than a short run needs for its work. The
 * bundle lies in `dist` beside the modules, as `*.bundle.js`; `dist/main.js` takes it while it is made of the modules as they
 * are (bundle-inputs.json says which and their digest), so that a build by `tsc -b` alone is never overruled by an old bundle.
 *
 * `iomap mount` starts a process of its own, whose program it looks for beside itself: `dist/server-main.js`, a bundle too.
 */
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const dist = join(root, 'packages/cli/dist');
const INPUTS = 'bundle-inputs.json';
const ENTRY = 'command.bundle.js';
const SERVER = 'server-main';

/**
 * zod carries its messages in sixty languages; the command's are English.
 * @type {import('esbuild').Plugin}
 */
const englishOnly = {
  name: 'english-only',
  setup(builder) {
    builder.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, ({ path }) => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: dirname(path),
    }));
  },
};

for (const name of readdirSync(dist)) if (name.endsWith('.bundle.js') || name === INPUTS) rmSync(join(dist, name));

/** @type {import('esbuild').BuildOptions & { metafile: true }} */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  // In `dist` itself: what is found relative to a module stays where it was.
  outdir: dist,
  // Half of what a short run takes is the reading of the text. Identifiers stay, for stack traces. No `keepNames`: it is a call into the
  // runtime for each closure that is made, many of them in every request of a mount.
  minifyWhitespace: true,
  minifySyntax: true,
  plugins: [englishOnly],
  // CommonJS packages in the bundle ask for Node's own modules by `require`.
  banner: { js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);" },
  absWorkingDir: root,
  metafile: true,
  logLevel: 'error',
};
const built = [
  await build({
    ...common,
    entryPoints: { command: join(dist, 'command.js') },
    splitting: true,
    entryNames: '[name].bundle',
    chunkNames: '[name]-[hash].bundle',
  }),
  await build({ ...common, entryPoints: { [SERVER]: join(root, 'packages/fuse/dist/server-main.js') } }),
];

const inputs = [...new Set(built.flatMap(({ metafile }) => Object.keys(metafile.inputs)))].map((path) => resolve(root, path)).sort();
const own = inputs.filter((path) => !path.includes('node_modules'));
const hash = createHash('sha1');
for (const path of own) hash.update(readFileSync(path));
writeFileSync(join(dist, INPUTS), JSON.stringify({ files: own.map((path) => [relative(dist, path), statSync(path).size, statSync(path).mtimeMs]), sha1: hash.digest('hex') }));

const folders = new Set(inputs.flatMap((path) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(path)?.[0] ?? []));
let text = 'The bundled command contains these packages:\n';
for (const folder of folders) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].map((one) => join(folder, one)).find(existsSync);
  text += `\n${'-'.repeat(80)}\n${name} ${version} (${license})\n\n${file === undefined ? '' : readFileSync(file, 'utf8')}`;
}
for (const name of [ENTRY, `${SERVER}.js`]) appendFileSync(join(dist, name), `\n/*\n${text.replaceAll('*/', '* /')}*/\n`);
