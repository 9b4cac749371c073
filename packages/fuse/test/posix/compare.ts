/** What a mount answered against what is expected, fact by fact. */
import { assertionsOf, stepText, type Case, type Fact, type Step } from './case.js';

/** The driver's answer to a step. */
export type Answer = Fact | Readonly<Record<string, Fact>>;

/** A fact that a mount tells otherwise. */
export interface Deviation {
  readonly group: string;
  readonly name: string;
  /** Who and which call, with the fact where there are several: "stat f .nlink". */
  readonly step: string;
  readonly expected: string;
  readonly got: string;
}

const show = (answer: Answer | undefined): string => (typeof answer === 'object' ? JSON.stringify(answer) : String(answer));

function compareStep(step: Step, got: Answer | undefined): Omit<Deviation, 'group' | 'name'>[] {
  const { expected } = step;
  const text = stepText(step);
  if (expected === undefined) {
    const failed = got === undefined || got === 'short' || (typeof got === 'string' && /^E[0-9A-Z]+$/.test(got));
    return failed ? [{ step: text, expected: 'success', got: show(got) }] : [];
  }
  if (typeof expected !== 'object') return got === expected ? [] : [{ step: text, expected: show(expected), got: show(got) }];
  if (typeof got !== 'object') return [{ step: text, expected: show(expected), got: show(got) }];
  return Object.entries(expected)
    .filter(([key, value]) => got[key] !== value)
    .map(([key, value]) => ({ step: `${text} .${key}`, expected: show(value), got: show(got[key]) }));
}

/** All that a mount answered otherwise in a case. */
export function compareCase(one: Case, answers: readonly Answer[]): Deviation[] {
  return one.steps.flatMap((step, i) => compareStep(step, answers[i]).map((found) => ({ group: one.group, name: one.name, ...found })));
}

export const countAssertions = (cases: readonly Case[]): number =>
  cases.reduce((sum, { steps }) => sum + steps.reduce((inner, step) => inner + assertionsOf(step), 0), 0);
