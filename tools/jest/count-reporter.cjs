/**
 * A Jest reporter that leaves the run's counts in `<rootDir>/tmp/test-count.json`, and what failed and why, for the sum
 * that `npm test` ends with.
 *
 * - It writes only where `IOMAP_TEST_COUNT` is set (the Nx `test` target sets it), so that running one file by hand does
 *   not change the counts of a package.
 * - The file is an output of the Nx target: a run taken from the cache still counts.
 */
'use strict';

const { mkdirSync, writeFileSync } = require('node:fs');
const { join, relative } = require('node:path');
const { stripVTControlCharacters } = require('node:util');

/** Lines of a failure's message: the assertion and the place, not the whole stack. */
const MESSAGE_LINES = 16;

const brief = (message) => stripVTControlCharacters(message).split('\n').slice(0, MESSAGE_LINES).join('\n');

class CountReporter {
  constructor(globalConfig) {
    this.rootDir = globalConfig.rootDir;
  }

  onRunComplete(_contexts, results) {
    if (!process.env.IOMAP_TEST_COUNT) return;
    const counts = {
      passed: results.numPassedTests,
      // A file that could not run has no tests to count; it is one failure.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
      failures: results.testResults.flatMap((file) => this.failuresOf(file)),
    };
    mkdirSync(join(this.rootDir, 'tmp'), { recursive: true });
    writeFileSync(join(this.rootDir, 'tmp', 'test-count.json'), `${JSON.stringify(counts)}\n`);
  }

  failuresOf(file) {
    const path = relative(this.rootDir, file.testFilePath);
    if (file.testExecError) return [`${path}: could not run\n${brief(file.failureMessage ?? '')}`];
    return file.testResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${path}: ${test.fullName}\n${brief(test.failureMessages.join('\n'))}`);
  }
}

module.exports = CountReporter;
