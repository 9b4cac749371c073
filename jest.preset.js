/**
 * What every package's jest.config.js starts from: swc for the transform, the packages' sources (the `@iomap/source`
 * condition) instead of their builds, and Jest's own resolver, which knows conditions.
 */
import { fileURLToPath } from 'node:url';

const countReporter = fileURLToPath(new URL('tools/jest/count-reporter.cjs', import.meta.url));

const preset = {
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@iomap/source', 'node', 'require', 'default'] },
  testMatch: ['**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/dist/', '<rootDir>/out-tsc/', '<rootDir>/tmp/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/out-tsc/', '<rootDir>/tmp/'],
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
  reporters: ['default', countReporter],
};

export default preset;
