/**
 * Ways in which shared memory could be touched, or a virtual CPU's code be called, past the
 * transform: by the language (destructuring, iteration, conversion), by built-ins (callbacks, handlers,
 * descriptors, reflection), under other names (call, bind, computed names, aliases). Each is refused,
 * throws with its place and what to do, or is followed. None is skipped.
 */

import { describe, expect, test } from 'vitest';
import { StrayAccessError } from '../src/transform/guards.ts';
import { TransformError } from '../src/transform/index.ts';
import { compile, drive, evaluate, sharedWords } from './transform-harness.ts';

const WORDS = 'const words = new Int32Array(new SharedArrayBuffer(64));\n';

/** Types known: an error of the transform, at `^`. */
const REFUSED: Record<string, readonly [source: string, message: RegExp]> = {
  'the replacer of JSON.stringify': [
    'export const f = () => JSON.stringify({}, () => ^words[0]);',
    /callback given to the built-in `JSON\.stringify`/,
  ],
  'the reviver of JSON.parse': [
    "export const f = () => JSON.parse('1', () => ^words[0]);",
    /`JSON\.parse`/,
  ],
  'a trap of a Proxy': [
    'export const f = () => new Proxy({}, { get: () => ^words[0] });',
    /callback given to the built-in `Proxy`/,
  ],
  'a trap of a handler by name': [
    'const handler = { get(t, k) { return ^words[0]; } }; export const f = () => new Proxy({}, handler);',
    /callback given to the built-in `Proxy`/,
  ],
  'a comparator of sort': [
    'export const f = () => [0].sort((a, b) => ^words[a] - b);',
    /callback given to the built-in method `sort`/,
  ],
  'the mapper of Array.from': [
    'export const f = () => Array.from([0], (i) => ^words[i]);',
    /`Array\.from`/,
  ],
  'a callback of a built-in under a computed name': [
    "const k = 'ma' + 'p'; export const f = () => [0][k]((i) => ^words[i]);",
    /built-in method `map`/,
  ],
  'a callback of Array.prototype.map.call': [
    'export const f = (a) => Array.prototype.map.call(a, (i) => ^words[i]);',
    /`map`/,
  ],
  'a getter given to Object.defineProperty': [
    "export const f = () => Object.defineProperty({}, 'y', { get: () => ^words[0] });",
    /getter given to `Object\.defineProperty`/,
  ],
  'a setter given to Object.create by name': [
    'const d = { y: { set(v) { ^words[0] = v; } } }; export const f = () => Object.create({}, d);',
    /setter given to `Object\.create`/,
  ],
  '`next` of an iterator object': [
    'export const f = () => ({ [Symbol.iterator]() { return { next() { return ^words[0]; } }; } });',
    /`next` of an iterator/,
  ],
  '`next` of an iterator class': [
    'class A { [Symbol.iterator]() { return this; } next() { return { done: ^words[0] }; } }',
    /`next` of an iterator/,
  ],
  'Symbol.toPrimitive': [
    'const o = { [Symbol.toPrimitive]() { return ^words[0]; } };',
    /Symbol\.toPrimitive/,
  ],
  'a valueOf method': ['const o = { valueOf: () => ^words[0] };', /`valueOf`/],
  'a toJSON method': ['const o = { toJSON() { return ^words[0]; } };', /`toJSON`/],
  'an element by an object pattern': [
    'export function f() { const { 0: a } = ^words; return a; }',
    /destructured/,
  ],
  'the rest of an object pattern': [
    'export function f() { const { length, ...rest } = ^words; return rest; }',
    /destructured/,
  ],
  'an assignment pattern': [
    'export function f() { let a; ({ 0: a } = ^words); return a; }',
    /destructured/,
  ],
  'a text': ['export function f() { return `${^words}`; }', /made a text/],
  'a sum with a text': ["export function f() { return 'w: ' + ^words; }", /made a text/],
  'yield*': ['export function* f() { yield* ^words; }', /yield\*/],
  'Object.values': ['export function f() { return Object.values(^words); }', /`values`/],
  'Reflect.get': ['export function f() { return Reflect.get(^words, 0); }', /Reflect\.get/],
  'Reflect.set': ['export function f() { return Reflect.set(^words, 0, 1); }', /Reflect\.set/],
  'a Proxy of the view': ['export function f() { return new Proxy(^words, {}); }', /Proxy/],
  'Function.prototype.apply of the elements': [
    'const g = (a, b) => a + b; export function f() { return g.apply(null, ^words); }',
    /`apply`/,
  ],
  'a method of the view by another receiver': [
    'export function f() { return Int32Array.prototype.fill.call(^words, 3); }',
    /`call`/,
  ],
  'a method of the view as a value': [
    'export function f() { const g = ^words.fill.bind(words); g(1); }',
    /`fill` as a value/,
  ],
  'a method of the view taken by a pattern': [
    'export function f() { const { fill } = ^words; return fill; }',
    /destructured/,
  ],
  "the view's own iterator": [
    'export function f() { return ^words[Symbol.iterator]().next(); }',
    /iterated/,
  ],
  'a method of the view under a computed name': [
    'export function f(k) { return ^words[k](1); }',
    /computed name/,
  ],
  'a slice of the buffer': [
    'export function f() { return ^words.buffer.slice(0); }',
    /`slice` of its buffer/,
  ],
  'Atomics of the global object': [
    'export function f() { const { Atomics: A } = ^globalThis; return A.load(words, 0); }',
    /`Atomics` is used as a value/,
  ],
  'Atomics of an alias of the global object': [
    'export function f(g) { return ^g.Atomics.load(words, 0); }',
    /`Atomics` is used as a value/,
  ],
};

describe('refused, with file, line, column and what to do', () => {
  for (const [name, [marked, message]] of Object.entries(REFUSED)) {
    test(name, () => {
      const error = errorOf(() => compile(WORDS + marked.replace('^', '')));
      expect(error).toBeInstanceOf(TransformError);
      expect(error.problems[0]!.message).toMatch(message);
      expect(error.problems[0]).toMatchObject({
        file: '/test/source.js',
        line: 2,
        column: marked.indexOf('^') + 1,
      });
      expect(error.problems[0]!.advice).not.toBe('');
    });
  }

  test('a parameter that takes a view apart', () => {
    const source = 'export const f = ([a]: Int32Array<SharedArrayBuffer>): number => a!;';
    expect(() => compile(source, {}, '/test/source.ts')).toThrow(/destructured by a parameter/);
  });
});

/** Types unknown: `f(x)` works on plain values, and throws with its place on shared ones. */
const GUARDED: Record<string, string> = {
  'an element by an object pattern': 'export const f = (x) => { const { 0: a } = x; return a; };',
  'a nested pattern': 'export const f = (x) => { const { m: [a] } = { m: x }; return a; };',
  'a nested object pattern':
    'export const f = (x) => { const { m: { 0: a } } = { m: x }; return a; };',
  'a pattern in a loop': 'export const f = (x) => { for (const [a] of [x]) return a; };',
  'a pattern in a parameter': 'const g = ([a]) => a; export const f = (x) => g(x);',
  'an object pattern in a parameter':
    'const g = (i, { 0: a }) => a + i; export const f = (x) => g(1, x);',
  'an assignment pattern': 'export const f = (x) => { let a; ({ 0: a } = x); return a; };',
  'yield*': 'function* g(x) { yield* x; } export const f = (x) => [...g(x)].join();',
  'Object.values': 'export const f = (x) => Object.values(x).join();',
  'Object.entries': 'export const f = (x) => Object.entries(x).join();',
  'Object.assign': 'export const f = (x) => Object.assign([], x).join();',
  'Reflect.get': 'export const f = (x) => Reflect.get(x, 0);',
  'Reflect.apply': 'const g = (...a) => a[0]; export const f = (x) => Reflect.apply(g, null, x);',
  'a Proxy of it': 'export const f = (x) => new Proxy(x, {})[0];',
  'JSON of it': 'export const f = (x) => JSON.stringify(x);',
  'JSON of an object with it': 'export const f = (x) => JSON.stringify({ a: { x } });',
  'JSON of a named object with it':
    'export const f = (x) => { const o = { x }; return JSON.stringify(o); };',
  'a text, beside an access': 'export const f = (x) => x.length > 9 ? x[0] : `${x}`;',
  String: 'export const f = (x) => String(x);',
  'Array.prototype.slice.call': 'export const f = (x) => Array.prototype.slice.call(x).join();',
  'Array.prototype.map.call':
    'export const f = (x) => Array.prototype.map.call(x, (v) => v + 1).join();',
  'Function.prototype.apply':
    'const g = (a, b) => a + b; export const f = (x) => g.apply(null, x);',
  'a slice of the buffer':
    'export const f = (x) => (Array.isArray(x) ? x : x.buffer).slice(0, 1).length;',
  'a method as a value': 'export const f = (x) => { const g = x.indexOf.bind(x); return g(2); };',
  'a method under a computed name': "export const f = (x, k = ['indexOf'][0]) => x[k](2);",
  'its own iterator': 'export const f = (x) => x[Symbol.iterator]().next().value;',
  // Functions that are handed to built-ins in other ways than by their name.
  'a function that is a parameter':
    'const each = (g) => [0, 1].map(g).join(); export const f = (x) => each((i) => x[i]);',
  'a function in a variable':
    'export const f = (x) => { let g = (i) => x[i]; g = g; return [0].map(g)[0]; };',
  'a function that a call returns':
    'const make = (x) => (i) => x[i]; export const f = (x) => [0, 1].map(make(x)).join();',
  'a bound function':
    'const g = function (i) { return this[i]; }; export const f = (x) => [0, 1].map(g.bind(x)).join();',
  'a bound method':
    'class A { constructor(x) { this.x = x; } g(i) { return this.x[i]; } } export const f = (x) => { const a = new A(x); return [0, 1].map(a.g.bind(a)).join(); };',
  'a method of a computed name':
    "class A { constructor(x) { this.x = x; } ['g' + 1] = (i) => this.x[i]; } export const f = (x) => [0].map(new A(x).g1)[0];",
  'a function of an expression':
    'export const f = (x) => { const g = (i) => x[i]; return [0].map(null ?? (0, g))[0]; };',
  'a function in a spread':
    'export const f = (x) => { const g = (i) => x[i]; return [0].map(...[g])[0]; };',
  'a function of a pattern':
    'export const f = (x) => { const [g] = [(i) => x[i]]; return [0].map(g)[0]; };',
  'a function by an optional call':
    'export const f = (x) => { const g = (i) => x[i]; return [0]?.map?.(g)[0]; };',
  'a comparator by name':
    'export const f = (x) => { const by = (a, b) => x[a] - x[b]; return [1, 0].sort(by).join(); };',
  'a replacer by name':
    "export const f = (x) => { const r = (k, v) => (k === 'a' ? x[0] : v); return JSON.stringify({ a: 0 }, r); };",
  'an Atomics operation':
    'export const f = (x) => [0].map((i) => i).map(Array.isArray(x) ? (i) => x[i] : Atomics.load.bind(null, x))[0];',
  'a getter given to Object.defineProperty':
    "export const f = (x) => Object.defineProperty({}, 'y', { get: () => x[0] }).y;",
  'a trap of a Proxy': 'export const f = (x) => new Proxy({}, { get: () => x[0] }).y;',
  '`next` of an iterator':
    'const over = (x) => ({ [Symbol.iterator]() { let i = 0; return { next: () => ({ done: i === 2, value: x[i++] }) }; } }); export const f = (x) => [...over(x)].join();',
};

describe('guarded at run time where types are unknown', () => {
  for (const [name, source] of Object.entries(GUARDED)) {
    test(name, () => {
      const { f } = evaluate(compile(source).code);
      expect(drive(f([1, 2, 3]))).toEqual(evaluate(source)['f']([1, 2, 3]));
      const error = errorOf(() => drive(f(sharedWords())));
      expect(error).toBeInstanceOf(StrayAccessError);
      // Where it is, and what to do.
      expect(error.message).toMatch(/^\/test\/source\.js:1:\d+: /);
      expect(error.message).toMatch(/Move it into a plain synchronous function/);
    });
  }

  for (const [name, source] of Object.entries(GUARDED)) {
    // What a pattern or a bound method would read cannot be performed in another way.
    if (/pattern|assign|Proxy of it|as a value|computed name$|iterator$/.test(name)) continue;
    test(`${name}: performed at once with unsuspendable 'record'`, () => {
      const { f } = evaluate(compile(source, { unsuspendable: 'record' }).code);
      expect(drive(f(sharedWords()))).toEqual(evaluate(source)['f'](sharedWords()));
    });
  }
});

/** Followed wherever it is called from: the accesses that `f(m)` makes. */
const FOLLOWED: Record<string, [string, string[]]> = {
  'Function.prototype.call': [
    'const g = function (i) { return this[i]; }; export const f = (m) => g.call(m, 1) + 1;',
    ['read 1'],
  ],
  'Function.prototype.apply': [
    'const g = function (i) { return this[i]; }; export const f = (m) => g.apply(m, [1]) + 1;',
    ['read 1'],
  ],
  'Function.prototype.bind': [
    'const g = function (i) { return this[i]; }; export const f = (m) => g.bind(m, 1)() + 1;',
    ['read 1'],
  ],
  'a tagged template': [
    'const tag = (s, m) => m[0]; export const f = (m) => tag`a${m}` + 1;',
    ['read 0'],
  ],
  'a tag that is a method': [
    'const o = { tag(s, m) { return m[0]; } }; export const f = (m) => o.tag`a${m}` + 1;',
    ['read 0'],
  ],
  'a method of a computed name': [
    "const k = 'me' + 'th'; class A { [k](m) { return m[0]; } } export const f = (m) => new A()[k](m) + 1;",
    ['read 0'],
  ],
  'a method of a computed name, called by its name': [
    "class A { ['me' + 'th'](m) { return m[0]; } } export const f = (m) => new A().meth(m) + 1;",
    ['read 0'],
  ],
  'a bulk method under a constant name': [
    "const k = 'fill'; export const f = (m) => m[k](3)[0] + 1;",
    ['fill', 'read 0'],
  ],
  'a DataView method under a constant name': [
    "const k = 'getInt32'; export const f = (m) => new DataView(m.buffer)[k](0) + 1;",
    ['getInt32'],
  ],
  'an operation of Atomics in a table': [
    'const table = { get: Atomics.load }; export const f = (m) => table.get(m, 0) + 1;',
    ['load 0'],
  ],
  'globalThis.Atomics': ['export const f = (m) => globalThis.Atomics.load(m, 0) + 1;', ['load 0']],
  'Atomics.load.call': ['export const f = (m) => Atomics.load.call(null, m, 0) + 1;', ['load 0']],
};

describe('followed', () => {
  for (const [name, [source, ops]] of Object.entries(FOLLOWED)) {
    test(name, () => {
      const made: string[] = [];
      const { f } = evaluate(compile(source).code);
      expect(drive(f(sharedWords()), made)).toEqual(evaluate(source)['f'](sharedWords()));
      expect(made).toEqual(ops);
    });
  }
});

describe('left alone', () => {
  test('a generator function of the source itself, handed to a built-in', () => {
    const source =
      'function* g() { yield 1; yield 2; } export const f = (h = g) => [0].map(h).map((i) => [...i].join())[0];';
    expect(drive(evaluate(compile(source).code)['f']())).toBe('1,2');
  });

  test('functions that touch nothing keep their identity', () => {
    const source = `export const kept = []; const keep = (g) => { globalThis.queue.push(g); };
      export const f = (g) => { globalThis.queue = kept; keep(g); return kept[0] === g; };`;
    const { f } = evaluate(compile(source).code);
    expect(drive(f(() => 1))).toBe(true);
  });

  test('shorthand properties that get a guard stay properties', () => {
    const source = 'export const f = (x, lib = (o) => o) => JSON.stringify({ x, y: { x } });';
    expect(drive(evaluate(compile(source).code)['f'](1))).toBe('{"x":1,"y":{"x":1}}');
  });
});

function errorOf(run: () => unknown): TransformError {
  try {
    run();
  } catch (error) {
    return error as TransformError;
  }
  throw new Error('nothing was thrown');
}
