/** Sums what the projects' tests left behind (tools/jest/count-reporter.cjs). */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * Where each project that has tests leaves its counts.
 * @param {string} root
 */
export function countFiles(root) {
  const folders = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name));
  folders.push(join(root, 'tools'));
  return folders
    .filter((folder) => existsSync(join(folder, 'jest.config.js')))
    .map((folder) => join(folder, 'tmp', 'test-count.json'));
}

/**
 * A project that left no counts has failed.
 * @param {readonly string[]} files
 * @returns {Counts}
 */
export function sum(files) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const file of files) {
    if (!existsSync(file)) {
      total.failed++;
      continue;
    }
    const counts = JSON.parse(readFileSync(file, 'utf8'));
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  return total;
}

/**
 * What failed, and why: each begins with the project's folder.
 * @param {readonly string[]} files
 * @returns {string[]}
 */
export function failures(files) {
  return files.flatMap((file) => {
    const project = basename(dirname(dirname(file)));
    if (!existsSync(file)) return [`${project}: no result`];
    /** @type {{ failures?: string[] }} */
    const counts = JSON.parse(readFileSync(file, 'utf8'));
    return (counts.failures ?? []).map((failure) => `${project}/${failure}`);
  });
}

/** @param {Counts} counts */
export function format({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
