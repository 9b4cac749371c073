import preset from '../jest.preset.js';

const [swc, options] = preset.transform['^.+\\.ts$'];

export default {
  ...preset,
  displayName: 'tools',
  // The tools are plain JavaScript modules, so that they run from a fresh clone; Jest needs them as CommonJS.
  transform: {
    '^.+\\.ts$': [swc, options],
    '^.+\\.js$': [swc, { ...options, jsc: { ...options.jsc, parser: { syntax: 'ecmascript' } } }],
  },
  // The benchmarks and the soak runs are projects of their own.
  testPathIgnorePatterns: [...preset.testPathIgnorePatterns, '/tools/bench/', '/tools/soak/', '/tools/examples/'],
  testTimeout: 240_000,
};
