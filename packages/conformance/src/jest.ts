/**
 * The test globals that suites use, and tests that depend on oracles. Any runner with Jest's `describe` and `it` will do;
 * suites check with `node:assert`, so that a failure reads the same everywhere.
 */
import { missingOracles, type OracleName } from './oracle.js';

type TestBody = () => void | Promise<void>;
interface DescribeGlobal {
  (name: string, body: () => void): void;
  readonly skip: (name: string, body: () => void) => void;
}
type TestGlobal = (name: string, body: TestBody, timeoutMs?: number) => void;

interface TestGlobals {
  readonly describe: DescribeGlobal;
  readonly it: TestGlobal;
  readonly afterEach: (body: TestBody) => void;
  readonly afterAll: (body: TestBody) => void;
}

/**
 * The runner's globals.
 * @throws Error outside a test runner
 */
export function testGlobals(): TestGlobals {
  const here = globalThis as unknown as Partial<TestGlobals>;
  const { describe, it, afterEach, afterAll } = here;
  if (describe === undefined || it === undefined || afterEach === undefined || afterAll === undefined) {
    throw new Error('suites run inside a test runner with describe, it, afterEach and afterAll');
  }
  return { describe, it, afterEach, afterAll };
}

/**
 * `describe` that needs oracles: where one is missing the group is skipped with the oracle in its name, and with
 * `CI=true` it fails instead.
 */
export function describeWithOracle(names: readonly OracleName[], title: string, body: () => void): void {
  const { describe, it } = testGlobals();
  const missing = missingOracles(names);
  if (missing.length === 0) {
    describe(title, body);
  } else if (process.env['CI'] === 'true') {
    describe(title, () => {
      it(`has its oracles: ${names.join(', ')}`, () => {
        throw new Error(`missing: ${missing.join(', ')}`);
      });
    });
  } else {
    describe.skip(`${title} [missing oracle: ${missing.join(', ')}]`, body);
  }
}
