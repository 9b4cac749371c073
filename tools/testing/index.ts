export { describePackage, type PackageExpectations } from './describe-package.js';
export { heapPerItem } from './heap-per-item.js';
export { sourceFiles } from './source-files.js';
export { testRuns, testSeed } from './test-seed.js';
