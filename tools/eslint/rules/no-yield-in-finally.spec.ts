import { noYieldInFinally } from './no-yield-in-finally.js';
import { reported, ruleTester, typed } from '../rule-tester.js';

ruleTester().run('no-yield-in-finally', noYieldInFinally, {
  valid: typed([
    'function* f(): Io<void> { try { yield* readIo(0); } finally { unlock(); } } declare function unlock(): void;',
    'function* f(): Io<void> { try { yield* readIo(0); } catch { yield* readIo(1); } }',
    // A function declared there runs elsewhere.
    'function* f(later: (t: () => Io<void>) => void): Io<void> { try {} finally { later(function* () { yield* readIo(0); }); } }',
  ]),
  invalid: reported('waits', [
    'function* f(): Io<void> { try {} finally { yield* readIo(0); } }',
    'function* f(): Io<void> { try {} finally { if (1) { for (;;) { yield* readIo(0); } } } }',
    'function* f(): Io<void> { try {} finally { try { yield* readIo(0); } catch {} } }',
  ]),
});
