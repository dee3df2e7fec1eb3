/** What cannot be suspended is refused with its place, or guarded at run time: never skipped. */

import { describe, expect, test } from 'vitest';
import { StrayAccessError } from '../src/transform/guards.ts';
import { transform, TransformError } from '../src/transform/index.ts';
import { compile, drive, evaluate, sharedWords } from './transform-harness.ts';

const W = 'const words = new Int32Array(new SharedArrayBuffer(64));\n';

/** Source, and what its error says. `^` marks where the error must point. */
const REFUSED: Record<string, [string, RegExp]> = {
  'an atomic in a constructor': [
    `class A { constructor() { ^Atomics.store(words, 0, 1); } }`,
    /constructor/,
  ],
  'an element write in a constructor': [
    `class A { constructor() { ^words[0] = 1; } }`,
    /constructor/,
  ],
  'a coloured method called in a constructor': [
    `class A { constructor() { ^this.init(); } init() { Atomics.store(words, 0, 1); } }`,
    /`A\.init`.*constructor/,
  ],
  'a getter': [`class A { get size() { return ^Atomics.load(words, 0); } }`, /getter/],
  'a getter of an object literal': [`const o = { get size() { return ^words[0]; } };`, /getter/],
  'a setter': [`class A { set size(v) { ^words[0] = v; } }`, /setter/],
  'an async function': [`async function f() { return ^Atomics.load(words, 0); }`, /async function/],
  'a coloured function called in an async arrow': [
    `function g() { return words[0]; } const f = async () => { await null; return ^g(); };`,
    /`g`.*async function/,
  ],
  'a generator': [`function* f() { yield ^words[0]; }`, /generator/],
  'a callback of map': [
    `function f(a) { return [1].map((i) => ^words[i]); }`,
    /built-in method `map`/,
  ],
  'a callback of sort': [`const a = [1]; a.sort((x, y) => ^Atomics.load(words, x) - y);`, /`sort`/],
  'a callback of replace': [
    `'a'.replace(/a/, () => String(^Atomics.load(words, 0)));`,
    /`replace`/,
  ],
  'a callback of forEach on an unknown receiver': [
    `function f(a) { a.forEach((i) => { ^words[i]++; }); }`,
    /`forEach`/,
  ],
  'a callback of setTimeout': [`setTimeout(() => { ^Atomics.notify(words, 0); });`, /`setTimeout`/],
  'an executor of Promise': [`new Promise((resolve) => resolve(^words[0]));`, /`Promise`/],
  'a callback of an untransformed import': [
    `import { test } from 'vitest'; test('x', () => { ^words[0] = 1; });`,
    /`test` of vitest/,
  ],
  'a default parameter beside a pattern': [
    `function f({ b }, a = ^words[0]) { return a + b; }`,
    /default parameter beside a pattern/,
  ],
  'a default parameter whose names mean something else in the body': [
    `function f(a = ^words[i]) { var i = 1; return a + i; } var i = 0;`,
    /default parameter/,
  ],
  'a default inside a destructured parameter': [
    `const f = ({ a = ^Atomics.load(words, 0) }) => a;`,
    /default parameter/,
  ],
  'a class field': [`class A { x = ^words[0]; }`, /class field/],
  'a static block': [`class A { static { ^words[0] = 1; } }`, /static block/],
  'the top level': [`^words[0] = 1;`, /top level/],
  'a toString method': [`class A { toString() { return String(^words[0]); } }`, /toString/],
  'Symbol.iterator': [`class A { [Symbol.iterator]() { return ^words[0]; } }`, /Symbol\.iterator/],
  'Symbol.dispose': [`class A { [Symbol.dispose]() { ^words[0] = 0; } }`, /Symbol\.dispose/],
  'an old-style constructor': [
    `function A() { this.x = ^words[0]; } export const a = new A();`,
    /`new`/,
  ],
  'arguments of an outer function': [
    `function f() { return () => ^words[arguments[0]]; }`,
    /arguments/,
  ],
  spread: [`function f() { return [...^words]; }`, /spread/],
  'spread in a call': [`function f(g) { return g(...^words); }`, /spread/],
  'for-of': [`function f() { for (const w of ^words) w; }`, /iterated/],
  'array destructuring': [`function f() { const [a, b] = ^words; return a + b; }`, /destructured/],
  'a pattern that assigns elements': [
    `function f() { [^words[0], words[1]] = [1, 2]; }`,
    /pattern/,
  ],
  'an iterating method': [`function f() { return ^words.map((x) => x); }`, /`map`/],
  'Array.from': [`function f() { return Array.from(^words); }`, /Array\.from/],
  'a copying constructor': [`function f() { return new Int32Array(^words); }`, /Int32Array/],
  'Atomics as a value': [
    `function f() { const A = ^Atomics; return A.load(words, 0); }`,
    /Atomics/,
  ],
  'destructured Atomics': [`const { load } = ^Atomics;`, /Atomics/],
  'computed Atomics': [`function f(op) { return ^Atomics[op](words, 0); }`, /Atomics/],
};

describe('refused with file, line and column', () => {
  for (const [name, [marked, message]] of Object.entries(REFUSED)) {
    test(name, () => {
      const at = marked.indexOf('^');
      const source = W + marked.replace('^', '');
      const error = errorOf(() => compile(source));
      expect(error).toBeInstanceOf(TransformError);
      expect(error.message).toMatch(message);
      expect(error.problems[0]).toMatchObject({ file: '/test/source.js', line: 2, column: at + 1 });
      expect(error.problems[0]!.frame).toContain(`> 2 | ${marked.replace('^', '')}`);
      expect(error.problems[0]!.advice).not.toBe('');
    });
  }

  test('all problems of a module are in one error', () => {
    const source = `${W}class A { constructor() { words[0] = 1; } get x() { return words[1]; } }`;
    expect(errorOf(() => compile(source)).problems.length).toBe(2);
  });

  test('a syntax error too', () => {
    expect(errorOf(() => compile('const = 1')).problems[0]).toMatchObject({ line: 1, column: 7 });
  });

  test("with unsuspendable 'guard' they are warnings, and throw when reached", () => {
    const source = `${W}export class A { constructor() { Atomics.store(words, 0, 1); } get x() { return words[1]; } }`;
    const { code, warnings } = compile(source, { unsuspendable: 'guard' });
    expect(warnings.map(({ line }) => line)).toEqual([2, 2]);
    const { A } = evaluate(code);
    expect(() => new A()).toThrow(StrayAccessError);
    expect(() => A.prototype.x).toThrow(/source\.js:2:/);
  });
});

/** Types unknown: compiled, passes with plain values, throws with shared ones. `f(x)` is called. */
const GUARDED: Record<string, string> = {
  'an element in a constructor':
    'class A { constructor(x) { this.y = x[0]; } } export const f = (x) => new A(x).y;',
  'an element write in a setter':
    'export const f = (x) => { const o = { set y(v) { x[1] = v; } }; o.y = 3; return x[1]; };',
  'a getter': 'export const f = (x) => ({ get y() { return x[0]; } }).y;',
  'an update in a field': 'export const f = (x) => new (class { y = x[0]++; })().y;',
  'a callback of map': 'export const f = (x) => [0, 1].map((i) => x[i]).join();',
  'a bulk method in a getter': 'export const f = (x) => ({ get y() { return x.indexOf(2); } }).y;',
  'a method that calls back': 'export const f = (x) => x.map((v) => v * 2).join();',
  'an own function called in a callback':
    'const at = (x, i) => x[i]; export const f = (x) => [0, 1].map((i) => at(x, i)).join();',
  'a generator':
    'function* g(x) { yield x[0]; yield x[1]; } export const f = (x) => [...g(x)].join();',
  'a default parameter beside a pattern':
    'const g = (x, [z], y = x[0]) => y + z; export const f = (x) => g(x, [1]);',
  'for-of': 'export const f = (x) => { let s = 0; for (const v of x) s += v; return s; };',
  spread: 'export const f = (x) => [...x].join();',
  destructuring: 'export const f = (x) => { const [a, b] = x; return a + b; };',
  'a swap by patterns': 'export const f = (x) => { [x[0], x[1]] = [x[1], x[0]]; return x[0]; };',
  'Array.from': 'export const f = (x) => Array.from(x).join();',
  'an optional chain in a getter':
    'const at = (x, i) => x[i]; const o = { at }; export const f = (x) => ({ get y() { return o?.at?.(x, 1).toFixed(1); } }).y;',
  'a function by reference':
    'export const f = (x) => { const g = (i) => x[i]; return [0, 1].map(g).join(); };',
  'the loop head of for-of': 'export const f = (x) => { for (x[0] of [5, 6]); return x[0]; };',
};

describe('guarded at run time where types are unknown', () => {
  for (const [name, source] of Object.entries(GUARDED)) {
    test(name, () => {
      const { f } = evaluate(compile(source).code);
      const plain = evaluate(source)['f']([1, 2, 3]);
      expect(drive(f([1, 2, 3]))).toEqual(plain);
      expect(() => drive(f(sharedWords()))).toThrow(StrayAccessError);
      expect(() => drive(f(sharedWords()))).toThrow(/source\.js:1:\d+/);
    });
  }
});

describe("with unsuspendable 'record'", () => {
  for (const [name, source] of Object.entries(GUARDED)) {
    // Written through: a copy would not do.
    if (/update|swap|loop head/.test(name)) continue;
    test(`${name}: performed at once`, () => {
      const explored = evaluate(compile(source, { unsuspendable: 'record' }).code)['f'];
      const plain = evaluate(source)['f'];
      const expected = outcome(() => plain(sharedWords()));
      expect(outcome(() => drive(explored(sharedWords())))).toEqual(expected);
      expect(drive(explored([1, 2, 3]))).toEqual(plain([1, 2, 3]));
    });
  }

  test('atomics in a constructor are performed, with a warning', () => {
    const source = `${W}export class A { constructor() { Atomics.store(words, 0, 5); this.x = words[0]; } }`;
    const { code, warnings } = compile(source, { unsuspendable: 'record' });
    expect(warnings.length).toBe(2);
    const { A } = evaluate(code);
    expect(new A().x).toBe(5);
  });
});

describe('passes, because it touches no shared memory', () => {
  const PASSES: Record<string, string> = {
    'a constructor that stores fields':
      'export class A { constructor(w) { this.words = w; this.n = w.length; this.s = new Int32Array(w.buffer, 0, 1); } }',
    'a getter over a field': 'export class A { n = 1; get size() { return this.n; } }',
    'callbacks on plain arrays':
      'export const f = (n) => [1, 2].map((x) => x + n).filter((x) => x > 1).sort((a, b) => a - b);',
    'async code': 'export async function f(x) { await x; return 1; }',
    counting: 'export function f(n) { let s = 0; for (let i = 0; i < n; i++) s += i; return s; }',
    'strings and maps':
      "export function f(s) { const m = new Map(); m.set('a', `${s}`); return m.get('a'); }",
  };
  for (const [name, source] of Object.entries(PASSES)) {
    test(`${name}: not a byte is changed`, () => {
      expect(compile(source).code).toBe(source);
    });
  }

  test('typed code is not coloured by what its types rule out', () => {
    const source = `export function f(names: string[], table: Map<string, number>, rows: readonly number[][]): number {
      let sum = 0;
      for (const name of names) sum += table.get(name)! + name[0]!.length;
      for (let i = 0; i < rows.length; i++) sum += rows[i]![0]!;
      return sum + names.slice(1).length;
    }`;
    expect(transform(source, { file: '/test/source.ts' }).code).toBe(source);
  });
});

describe('warnings', () => {
  test('eval, new Function and computed imports are named', () => {
    const source = 'export function f(x) { eval(x); new Function(x); return import(x); }';
    expect(compile(source).warnings.map(({ message }) => message)).toEqual([
      expect.stringContaining('eval'),
      expect.stringContaining('Function'),
      expect.stringContaining('import'),
    ]);
  });

  test('a coloured function handed to a microtask throws there', () => {
    const source = `${W}const later = []; const queueMicrotask = (f) => later.push(f);
      export function f() { globalThis.queueMicrotask(g); } function g() { words[0] = 1; }`;
    const { warnings } = compile(source);
    expect(warnings.length).toBe(1);
    expect(warnings[0]!.message).toMatch(/handed to code that is not transformed/);
  });

  test('a shared view handed to an untransformed import is named', () => {
    const source = `import { crc } from 'crc'; ${W}export function f() { return crc(words); }`;
    expect(compile(source).warnings[0]!.message).toMatch(/`crc` of crc/);
  });
});

function outcome(run: () => unknown): unknown {
  const value = run();
  return ArrayBuffer.isView(value) ? [...(value as Int32Array)] : value;
}

function errorOf(run: () => unknown): TransformError {
  try {
    run();
  } catch (error) {
    return error as TransformError;
  }
  throw new Error('nothing was thrown');
}
