/**
 * The layers of the house and what each may know (docs/architecture.md): an arrow may only point down. The tags are in
 * each package.json, under `nx.tags`.
 */

/** @type {Readonly<Record<string, readonly string[]>>} */
export const below = {
  io: [],
  device: ['io'],
  'page-cache': ['io', 'device'],
  'buffer-cache': ['io', 'device'],
  iomap: ['io', 'device', 'page-cache'],
  // The legacy baseline that conversions are measured against.
  'buffer-head': ['io', 'device', 'page-cache'],
  // What drivers with block maps and bitmaps share.
  'block-map': ['io', 'device', 'page-cache', 'buffer-cache', 'iomap', 'buffer-head'],
  vfs: ['io', 'device'],
  driver: ['io', 'device', 'page-cache', 'buffer-cache', 'iomap', 'buffer-head', 'block-map', 'vfs'],
  face: ['io', 'device', 'page-cache', 'buffer-cache', 'iomap', 'buffer-head', 'block-map', 'vfs', 'driver', 'face'],
  // Beside the others: any driver passes itself to it, so it knows none.
  conformance: ['io', 'device', 'buffer-cache', 'vfs'],
  // Benchmarks and soak runs, which use everything.
  bench: ['io', 'device', 'page-cache', 'buffer-cache', 'iomap', 'buffer-head', 'block-map', 'vfs', 'driver', 'face', 'conformance'],
  tools: [],
};

/** Layers that `conformance` stands on: their specs may not import it, or the graph of projects would have a loop. */
const underConformance = new Set(['io', 'device', 'buffer-cache', 'vfs']);

/**
 * Constraints for `@nx/enforce-module-boundaries`.
 * @param {{ spec: boolean }} options `spec`: for tests, which may also import the tools and the conformance suites
 */
export function depConstraints({ spec }) {
  return Object.entries(below).map(([layer, lower]) => {
    const beside = spec ? ['tools', ...(underConformance.has(layer) ? [] : ['conformance'])] : [];
    return {
      sourceTag: `layer:${layer}`,
      onlyDependOnLibsWithTags: [...new Set([...lower, ...beside])].map((name) => `layer:${name}`),
    };
  });
}
