export { describePackage, type PackageExpectations } from './describe-package.js';
export { sourceFiles } from './source-files.js';
