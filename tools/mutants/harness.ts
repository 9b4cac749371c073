/**
 * Jest's globals for a bundle that runs alone: the pitfall tests, without their guards, in a process each.
 *
 * Prints one JSON line: the names of the tests that failed, and how many ran.
 */
import { expect } from 'expect';
import { writeSync } from 'node:fs';

type Body = (...values: never[]) => unknown;
interface Case {
  readonly name: string;
  readonly body: () => unknown;
}

const cases: Case[] = [];
let path: string[] = [];

const describe = (name: string, body: () => void): void => {
  const outer = path;
  path = [...path, name];
  body();
  path = outer;
};
const it = (name: string, body: () => unknown): void => void cases.push({ name: [...path, name].join(' › '), body });

/** `%s` takes the next value, `$key` a property of the row. */
function title(name: string, row: unknown): string {
  const values = Array.isArray(row) ? [...(row as unknown[])] : [row];
  return name.replace(/%[sdij]|\$(\w+)/g, (_, key?: string) =>
    key === undefined ? String(values.shift()) : String((row as Record<string, unknown>)[key]));
}

const each = (define: (name: string, body: () => unknown) => void) => (rows: readonly unknown[]) => (name: string, body: Body): void => {
  for (const row of rows) {
    define(title(name, row), () => (body as (...values: unknown[]) => unknown)(...(Array.isArray(row) ? (row as unknown[]) : [row])));
  }
};

Object.assign(globalThis, {
  expect,
  describe: Object.assign(describe, { each: each(describe as never) }),
  it: Object.assign(it, { each: each(it) }),
  test: Object.assign(it, { each: each(it) }),
});

/** The numbers that a test's name begins with: "4, 5: …" is about 4 and about 5. */
const numbersOf = (name: string): string[] => /^([\d, ]+):/.exec(name)?.[1]?.split(',').map((one) => one.trim()) ?? [];

/** Called by the bundle's end. The arguments are pitfalls: tests that name one come first, and the first of them that fails is enough. */
export async function runCases(): Promise<void> {
  const wanted = process.argv.slice(2);
  const isAbout = ({ name }: Case): boolean => numbersOf(name).some((one) => wanted.includes(one));
  const failed: { name: string; why: string }[] = [];
  for (const one of [...cases.filter(isAbout), ...cases.filter((other) => !isAbout(other))]) {
    const { name, body } = one;
    // One that does not end has said who it is.
    writeSync(1, `> ${name}\n`);
    try {
      await body();
    } catch (error) {
      failed.push({ name, why: (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '' });
      if (wanted.length > 0 && (isAbout(one) || failed.length >= 5)) break;
    }
  }
  process.stdout.write(`\n${JSON.stringify({ failed, ran: cases.length })}\n`);
  process.exit(0);
}
