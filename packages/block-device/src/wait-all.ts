/** Joining the answers of several bios into one. */
import { IO_OK, type IoResult } from '@iomap/io';

/** The first failure of `answers` in order; a promise only if one of them is. */
export function joinAnswers(answers: readonly (IoResult | Promise<IoResult>)[]): IoResult | Promise<IoResult> {
  let pending = false;
  for (const answer of answers) if (answer instanceof Promise) pending = true;
  if (!pending) return firstFailure(answers as readonly IoResult[]);
  return Promise.all(answers.map((answer) => Promise.resolve(answer))).then(firstFailure);
}

const firstFailure = (results: readonly IoResult[]): IoResult => results.find((result) => !result.ok) ?? IO_OK;

/** `then` for an answer that may be there already. */
export function afterAnswer(
  answer: IoResult | Promise<IoResult>,
  then: (result: IoResult) => IoResult | Promise<IoResult>,
): IoResult | Promise<IoResult> {
  return answer instanceof Promise ? answer.then(then) : then(answer);
}
