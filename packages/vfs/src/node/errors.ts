/** Argument errors in the shape of Node's own: a TypeError or RangeError with a `code`. */

/** A TypeError or RangeError as Node throws it for a bad argument. */
export interface CodedError extends Error {
  code: string;
}

const coded = (error: Error, code: string): CodedError => {
  // Node prints the code after the name; the stack is made before the name could change, so only the message has it.
  return Object.assign(error, { code });
};

const describe = (value: unknown): string => {
  switch (typeof value) {
    case 'undefined':
      return ' Received undefined';
    case 'function':
      return ` Received function ${value.name}`;
    case 'object':
      return value === null ? ' Received null' : ` Received an instance of ${value.constructor.name}`;
    case 'symbol':
      return ` Received type symbol (${value.toString()})`;
    default:
      return ` Received type ${typeof value} (${String(value)})`;
  }
};

export const invalidType = (name: string, expected: string, value: unknown): CodedError =>
  coded(
    new TypeError(`The "${name}" argument must be ${expected}.${describe(value)}`),
    'ERR_INVALID_ARG_TYPE',
  );

export const invalidValue = (name: string, value: unknown, why: string): CodedError =>
  coded(new TypeError(`The argument '${name}' ${why}. Received ${JSON.stringify(value)}`), 'ERR_INVALID_ARG_VALUE');

export const outOfRange = (name: string, range: string, value: unknown): CodedError =>
  coded(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`),
    'ERR_OUT_OF_RANGE',
  );

/** An error of `cp` or `rm` that has a code of Node's own. */
export const nodeError = (code: string, message: string, path?: string): CodedError =>
  coded(Object.assign(new Error(message), path === undefined ? {} : { path }), code);
