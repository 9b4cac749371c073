import { reported, ruleTester, typed } from '../rule-tester.js';
import { floatingIo } from './floating-io.js';

ruleTester().run('floating-io', floatingIo, {
  valid: typed([
    'function* f(): Io<number> { return yield* readIo(0); }',
    'function f(): Io<number> { return readIo(0); }',
    'runSync(readIo(0));',
    'const io = readIo(0); runSync(io);',
    'const tasks = [readIo(0), readIo(1)]; tasks.forEach((io) => runSync(io));',
    'const make = () => readIo(0); runSync(make());',
    // A generator of something else is nobody's Io.
    'function* numbers(): Generator<number, void, unknown> { yield 1; } numbers();',
    'declare const m: Map<number, Io<number>>; m.set(1, readIo(0));',
    'let io: Io<number>; io = readIo(0); runSync(io);',
    'declare function later(task: () => Io<number>): void; later(() => readIo(0));',
  ]),
  invalid: reported('floating', [
    'readIo(0);',
    'void readIo(0);',
    'function* f(): Io<void> { readIo(0); }',
    'declare const cached: number | undefined; cached ?? readIo(0);',
    'declare const yes: boolean; yes && readIo(0);',
    ['declare const yes: boolean; yes ? readIo(0) : readIo(1);', 2],
    'async function f() { await readIo(0); }',
    'declare const fs: { read?(pos: number): Io<number> }; fs.read?.(0);',
    'class A { *run(): Io<void> {} f() { this.run(); } }',
    '[1, 2].forEach((pos) => readIo(pos));',
    'function f<T extends Io<number>>(make: () => Io<number>) { make(); }',
  ]),
});
