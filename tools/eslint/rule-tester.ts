/** ESLint's RuleTester with the TypeScript parser and the types of `fixtures/`, for the tests of the rules. */
import { join } from 'node:path';
import { RuleTester } from 'eslint';
import tseslint from 'typescript-eslint';

const fixtures = join(__dirname, 'fixtures');

/** The declarations of @iomap/io that the type-aware rules look for. */
export const ioTypes = `
  type BioRequest = { kind: 'bio' }; type WaitRequest = { kind: 'wait' };
  type IoRequest = BioRequest | WaitRequest; type IoResult = { ok: boolean };
  type Io<T> = Generator<IoRequest, T, IoResult>;
  declare const unit: unique symbol;
  type Unit<B, N extends string> = B & { readonly [unit]: N };
  type FsBlock = Unit<number, 'FsBlock'>; type Ino = Unit<number, 'Ino'>;
  declare function readIo(pos: number): Io<number>;
  declare function runSync<T>(io: Io<T>): T;
`;

export const filename = join(fixtures, 'file.ts');

export function ruleTester(): RuleTester {
  return new RuleTester({
    languageOptions: {
      parser: tseslint.parser,
      // With CI=true the parser would read the file from disk once instead of the code of each case.
      parserOptions: {
        project: './tsconfig.json',
        tsconfigRootDir: fixtures,
        disallowAutomaticSingleRunInference: true,
      },
    },
  });
}

/** Test cases of code with the types of `ioTypes` in front. */
export function typed(codes: readonly string[]): { code: string; filename: string }[] {
  return codes.map((code) => ({ code: `${ioTypes}\n${code}`, filename }));
}

/** Test cases that report `messageId` as often as `times` says (1). */
export function reported(messageId: string, codes: readonly (string | readonly [code: string, times: number])[]) {
  return codes.map((entry) => {
    const [code, times] = typeof entry === 'string' ? ([entry, 1] as const) : entry;
    return { code: `${ioTypes}\n${code}`, filename, errors: Array.from({ length: times }, () => ({ messageId })) };
  });
}
