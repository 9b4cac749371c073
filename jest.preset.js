import nxPresetModule from '@nx/jest/preset/jest-preset.js';

const nxPreset = nxPresetModule.default ?? nxPresetModule;

/**
 * What every package's jest.config.js starts from: swc for the transform, the packages' sources (the `@iomap/source`
 * condition) instead of their builds, and Jest's own resolver, which knows conditions (the Nx one does not).
 */
const preset = {
  ...nxPreset,
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@iomap/source', 'node', 'require', 'default'] },
  resolver: undefined,
  testMatch: ['**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', '/tmp/'],
  moduleFileExtensions: ['ts', 'js', 'json'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' }, module: { type: 'commonjs' }, swcrc: false },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!@iomap/)'],
  testTimeout: 30_000,
};

export default preset;
