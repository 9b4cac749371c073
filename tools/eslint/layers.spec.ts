import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { below, depConstraints } from './layers.js';

const packages = join(__dirname, '../../packages');

describe('layers', () => {
  it('have arrows that only point down', () => {
    const visit = (layer: string, above: readonly string[]): void => {
      expect(above).not.toContain(layer);
      for (const lower of below[layer] ?? []) if (lower !== layer) visit(lower, [...above, layer]);
    };
    for (const layer of Object.keys(below)) visit(layer, []);
  });

  it('let no driver know another, and the core know no driver', () => {
    const allowed = new Map(depConstraints({ spec: false }).map((one) => [one.sourceTag, one.onlyDependOnLibsWithTags]));
    expect(allowed.get('layer:driver')).not.toContain('layer:driver');
    expect(allowed.get('layer:vfs')).not.toContain('layer:iomap');
    expect(allowed.get('layer:iomap')).not.toContain('layer:vfs');
    for (const layer of ['io', 'device', 'page-cache', 'buffer-cache', 'iomap', 'vfs', 'conformance', 'driver']) {
      expect(allowed.get(`layer:${layer}`)).not.toContain('layer:face');
      expect(allowed.get(`layer:${layer}`)).not.toContain('layer:tools');
    }
  });

  it('cover the tag of every package', () => {
    for (const name of readdirSync(packages)) {
      const path = join(packages, name, 'package.json');
      if (!existsSync(path)) continue;
      const manifest = JSON.parse(readFileSync(path, 'utf8')) as { nx: { tags: string[] } };
      expect(manifest.nx.tags).toHaveLength(1);
      for (const tag of manifest.nx.tags) expect(Object.keys(below)).toContain(tag.replace('layer:', ''));
    }
  });
});
