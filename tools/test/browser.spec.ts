/** Every library entry that is not for Node goes into a browser bundle with nothing of Node left in it. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { isNodeEntry, publicPackages, root } from './entries.js';

/** What a page does not have. esbuild's `define` replaces free identifiers only, so a local `process` is no finding. */
const hostGlobals = ['Buffer', 'process', 'global', 'require', 'setImmediate', '__dirname', '__filename'];

async function bundle(code: string): Promise<{ text: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: join(root, 'packages'), sourcefile: 'entry.js' },
    absWorkingDir: root,
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
    define: Object.fromEntries(hostGlobals.map((name) => [name, `__host_${name}__`])),
  });
  return { text: outputFiles[0]?.text ?? '', inputs: Object.keys(metafile.inputs) };
}

const entries = publicPackages().flatMap((info) => info.entries.filter((entry) => !isNodeEntry(info, entry)));

describe('browser bundle', () => {
  it('covers the libraries', () => {
    expect(entries).toEqual(expect.arrayContaining(['@iomap/io', '@iomap/io/sim', '@iomap/ext2', '@iomap/vfs']));
  });

  it.each(entries)('%s has no Node built-in and no host global', async (entry) => {
    const { text, inputs } = await bundle(`export * from ${JSON.stringify(entry)};`);
    expect(inputs.some((path) => path.includes('/dist/'))).toBe(true);
    expect(text).not.toMatch(/\bfrom\s*["']node:|import\s*\(\s*["']node:|["']node:[a-z_/]+["']/);
    expect([...new Set(text.match(/__host_\w+__/g) ?? [])]).toEqual([]);
  });

  // The test must be able to fail.
  it('finds a built-in and a host global where there is one', async () => {
    await expect(bundle("export { readFileSync } from 'node:fs';")).rejects.toThrow(/node:fs/);
    expect((await bundle('export const b = Buffer.from("a");')).text).toContain('__host_Buffer__');
    expect((await bundle('export const f = (process) => process.x;')).text).not.toContain('__host_');
  });
});
