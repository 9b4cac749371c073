/** A broken invariant is a bug of ours: it is never an `FsError` and never caught. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Asserts an invariant, on in production too. `what` names the invariant, as "I3" or in words. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new AssertionError(`invariant broken: ${what}`);
}
