/**
 * The language of the POSIX suite's cases: a list of system calls, who makes them, and what comes back.
 *
 * - `t.do(call, …)` prepares: it must succeed, and is not counted.
 * - `t.is(expected, call, …)` is an assertion: "ok", the name of an error, a number, a string; or an object of facts, each of
 *   which is one assertion.
 * - `t.as(user)` is the same case as that user. A user is "uid:gid[,group…]".
 *
 * What is expected is what POSIX and Linux say; the kernel's own mount must agree (see run.ts). driver.py knows the calls.
 */
export type Fact = string | number | boolean;
export type Expected = Fact | Readonly<Record<string, Fact>>;
export type Argument = Fact | null | readonly Argument[] | { readonly fill: string; readonly count: number };

export interface Step {
  readonly user: string;
  readonly call: readonly [name: string, ...args: Argument[]];
  /** undefined = must not fail. */
  readonly expected: Expected | undefined;
}

export interface Case {
  readonly group: string;
  readonly name: string;
  readonly steps: readonly Step[];
}

export interface Script {
  readonly do: (call: string, ...args: Argument[]) => void;
  readonly is: (expected: Expected, call: string, ...args: Argument[]) => void;
  readonly as: (user: string) => Script;
}

export const ROOT = '0:0';
export const ALICE = '1000:1000';
/** Alice with a supplementary group. */
export const ALICE_IN_2000 = '1000:1000,2000';
export const BOB = '1001:1001';
/** Bob with Alice's group beside his own. */
export const BOB_IN_1000 = '1001:1001,1000';
export const NOBODY = '65534:65534';

function scriptOf(steps: Step[], user: string): Script {
  return {
    do: (...call) => {
      steps.push({ user, call, expected: undefined });
    },
    is: (expected, ...call) => {
      steps.push({ user, call, expected });
    },
    as: (other) => scriptOf(steps, other),
  };
}

/** A group of cases: what `body` adds. */
export function group(name: string, body: (add: (name: string, write: (t: Script) => void) => void) => void): Case[] {
  const cases: Case[] = [];
  body((caseName, write) => {
    const steps: Step[] = [];
    write(scriptOf(steps, ROOT));
    cases.push({ group: name, name: caseName, steps });
  });
  return cases;
}

/** Bytes of one kind. */
export const fill = (letter: string, count: number): { readonly fill: string; readonly count: number } => ({ fill: letter, count });

/** How many assertions a step is. */
export const assertionsOf = ({ expected }: Step): number =>
  expected === undefined ? 0 : typeof expected === 'object' ? Object.keys(expected).length : 1;

/** A call as reports show it. */
export function callText(call: readonly Argument[]): string {
  const show = (value: Argument): string => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return text.length > 40 ? `${text.slice(0, 16)}…(${text.length})` : text;
  };
  return call.map(show).join(' ');
}

/** A step as reports show it: who, which call. */
export const stepText = ({ user, call }: Step): string => `${user === ROOT ? '' : `[${user}] `}${callText(call)}`;
