/**
 * Transformed code does what the source does: same result, same memory, same accesses in the same
 * order; and on memory that is not shared it behaves as before, without a single op.
 */

import { describe, expect, test } from 'vitest';
import { transform } from '../src/transform/index.ts';
import {
  evaluate,
  compile,
  drive,
  runExplored,
  runPlain,
  sharedWords,
  watched,
} from './transform-harness.ts';

/** Sources whose `main(m)` is run both ways; `m` holds 1..8. */
const PROGRAMS: Record<string, string> = {
  'nested reads': 'export function main(m) { return m[m[m[0]]] + m[m[1] + 1]; }',
  'nested writes': 'export function main(m) { return (m[m[0]] = m[2] = m[m[1]] + 5); }',
  'compound assignments': `export function main(m) {
    let i = 0;
    const a = (m[i++] += m[i++]);
    const b = (m[i++] -= 2);
    m[3] *= 3; m[4] **= 2; m[5] <<= 1; m[6] ^= m[0]; m[7] %= 3;
    return [a, b, i];
  }`,
  'increments, pre and post': `export function main(m) {
    let i = 0;
    return [m[i++]++, ++m[i++], m[i]--, --m[i + 1], m[m[0]]++, i];
  }`,
  'logical assignment': `export function main(m) {
    let n = 0; const next = () => ++n * 10;
    m[0] = 0;
    return [m[0] ||= next(), m[1] ||= next(), m[2] &&= next(), m[3] ??= next(), n];
  }`,
  'operands are evaluated once and in order': `export function main(m) {
    const log = []; const at = (x) => (log.push(x), x); const of = (x) => (log.push('m'), x);
    of(m)[at(1)] += at(2); of(m)[at(3)]++; of(m)[at(m[0])] = at(m[1]);
    return log.join();
  }`,
  'an index that changes the receiver': `export function main(m) {
    let v = m; const other = [7, 7, 7];
    const r = v[(v = other, 1)];
    const s = v[0] + (v = m, 0) + v[0];
    v[(v = other, 2)] = 5; 
    return [r, s, v, m[2]].join();
  }`,
  'short circuit': `export function main(m) {
    return [m[0] && m[1], m[0] || m[2], null ?? m[3], false && m[4], m[0] === 2 && m[5]];
  }`,
  ternary: 'export function main(m) { return [m[0] ? m[1] : m[2], m[0] > 1 ? m[3] : m[4]]; }',
  'optional chaining': `export function main(m) {
    const o = { m, f(i) { return this.m[i]; }, none: null };
    const missing = undefined;
    return [o?.m[1], o.none?.m[1], o?.f(2), o.f?.(3), o.g?.(m[4]), missing?.[m[5]], o?.m?.[m[0]],
      o?.['f']?.(m[0]), missing?.a.b.c(m[6]), (o?.f)(1), delete o?.none];
  }`,
  closures: `export function main(m) {
    let sum = 0;
    const add = (i) => { sum += m[i]; };
    const counter = () => { let n = 0; return () => n += m[0]; };
    const c = counter();
    add(1); add(2); c(); c();
    return [sum, c()];
  }`,
  recursion: `function fib(m, n) { m[7] += 1; return n < 2 ? n : fib(m, n - 1) + fib(m, n - 2); }
    export function main(m) { return [fib(m, 8), m[7]]; }`,
  'mutual recursion and hoisting': `export function main(m) { return even(m, 5); }
    function even(m, n) { return n === m[0] - 1 ? true : odd(m, n - 1); }
    function odd(m, n) { return n === 0 ? false : even(m, n - m[0]); }`,
  'for, break, continue, labels': `export function main(m) {
    let s = 0;
    outer: for (let i = 0; i < m[7]; i++) {
      for (let j = 0; ; j++) {
        if (m[j] > 4) continue outer;
        if (i * j > 6) break outer;
        s += m[j] * i;
      }
    }
    return s;
  }`,
  'while and do-while without blocks': `export function main(m) {
    while (m[0] < 5) m[0]++;
    do m[1] += 2; while (m[1] < 9);
    for (const k of [1, 2]) m[k] = k;
    for (const k in { 3: 0 }) m[k] = 9;
    return m[0] + m[1];
  }`,
  'a variable per round is kept by closures': `export function main(m) {
    const fs = [];
    for (let i = 0; i < 3; i++) fs.push(() => m[i] + i);
    let s = ''; for (const f of fs) s += f(); return s;
  }`,
  switch: `export function main(m) {
    const log = [];
    for (let i = 0; i < 4; i++) switch (m[i]) {
      case m[0]: log.push('a');
      case 2: log.push(m[4]); break;
      default: log.push('d');
      case 4: { log.push(m[i]); }
    }
    return log.join();
  }`,
  'try, catch, finally': `export function main(m) {
    const f = (i) => { try { if (m[i] > 2) throw new Error('e' + m[i]); return m[0]; }
      catch (e) { return e.message + m[1]; } finally { m[5] += 10; } };
    const g = () => { for (;;) { try { return m[2]; } finally { if (m[3]++ < 6) continue; break; } } return 'out'; };
    return [f(0), f(4), g(), m[5], m[3]];
  }`,
  'errors pass through calls': `function boom(m) { if (m[0]) throw new RangeError('boom ' + m[0]++); }
    export function main(m) { try { boom(m); } catch (e) { m[1] = 99; } boom(m); }`,
  destructuring: `export function main(m) {
    const { 0: z, length } = { 0: m[3], length: m[4] };
    const [a, b = m[1]] = [m[0]];
    let c, d; [c, d] = [m[5], m[6]]; ({ c = m[0], d } = { d: m[2] });
    return [z, length, a, b, c, d];
  }`,
  templates:
    "export function main(m) { const tag = (s, ...v) => s.raw.join('|') + v; return `a${m[0]}b${m[m[0]]}` + tag`x${m[2]}y${m[3]}`; }",
  'sequence, void, typeof, delete, in, instanceof': `export function main(m) {
    const o = { 1: 1, 2: 2 };
    return [(m[0], m[1]), void m[2], typeof m[3], delete o[m[0]], m[0] in o, 2 in o, m[0] instanceof Object,
      !m[0], -m[1], ~m[2], +m[3]];
  }`,
  'spread in calls and literals': `const max = (...a) => { let r = 0; for (const x of a) if (x > r) r = x; return r; };
    export function main(m) { const a = [m[0], ...[m[1], m[2]]]; return [max(...a, m[3]), { ...{ x: m[4] } }.x, Math.max(...a)]; }`,
  'this in methods, arrows and calls': `class Box {
      constructor(m) { this.m = m; this.base = 1; }
      get(i) { return this.m[i + this.base]; }
      each(f) { for (let i = 0; i < 3; i++) f(i); }
      sum() { let s = 0; this.each((i) => { s += this.get(i); }); return s; }
      deep() { const f = () => () => this.get(0); return f()(); }
    }
    export function main(m) { const b = new Box(m); const { get } = b; return [b.sum(), b.deep(), get.call({ m, base: 2 }, 1), b.get.apply(b, [2]), b.get.bind(b, 3)()]; }`,
  'inheritance and super': `class A { constructor(m) { this.m = m; } read(i) { return this.m[i]; } name() { return 'A'; } static of(m) { return m[6]; } }
    class B extends A { read(i) { return super.read(i) * 10 + super.read(i + 1); } name() { return super.name() + 'B' + this.m[0]; } static of(m) { return super.of(m) + 1; } }
    class C extends B { twice = (i) => this.read(i) * 2; ['comp' + 'uted'](i) { return this.read(i); } #secret(i) { return this.m[i]; } open(i) { return this.#secret(i); } }
    export function main(m) { const c = new C(m); return [c.read(0), c.name(), C.of(m), c.twice(1), c.computed(2), c.open(3), c instanceof A]; }`,
  'fields without semicolons before a method': `class A {
      x = 1
      read(m) { return m[0] + this.x }
      static y = 2
      static get(m) { return m[1] + this.y }
      'quoted'(m) { return m[2] }
    }
    export function main(m) { return [new A().read(m), A.get(m), new A().quoted(m)] }`,
  'statements without semicolons': `export function main(m) {
      const a = [1]
      m[0] = 3
      const b = a
      m[1]++
      let c = b
      m[2] += 4
      if (c) m[3] = 1
      else m[4] = 1
      f(m)
      return a.length + m[0]
    }
    function f(m) {
      'use strict'
      m[5] = 5
    }`,
  'object literal methods, getters and computed keys': `export function main(m) {
    const key = 'k' + m[0];
    const o = { read(i) { return m[i]; }, [key]: m[1], [key + 'f'](i) { return m[i] + 1; }, async: 1, f: function (i) { return m[i] + 2; }, get plain() { return 5; } };
    return [o.read(0), o.k1, o.k1f(1), o.f(2), o.plain];
  }`,
  'name shadowing': `function f(m) { return m[0]; }
    export function main(m) {
      const a = f(m); let b;
      { const f = () => 'local'; b = f(); }
      const g = (f) => f(m);
      return [a, b, g((m) => m[1]), ((Atomics) => Atomics.load(m, 0))({ load: (v, i) => 'mine' + v[i] })];
    }`,
  'names of builtins on own objects': `class Stack { constructor(m) { this.m = m; this.n = 0; } push(v) { this.m[this.n++] = v; return this.n; } fill(v) { this.m[7] = v; return this; } set(a, b) { this.m[a] = b; return 'set'; } }
    export function main(m) { const s = new Stack(m); const a = []; return [a.push(5), s.push(6), s.push(7), s.fill(3) === s, s.set(4, 5), new Map().set(1, 2).get(1), a.concat([1]).length]; }`,
  'generators and iterators of the source itself': `function* count(n) { for (let i = 0; i < n; i++) yield i; }
    export function main(m) { let s = m[0]; for (const i of count(3)) s += i; return [s, ...count(2), Array.from(count(3)).length]; }`,
  'arguments and rest': `function f() { return arguments.length + arguments[0][1]; } function g(a, ...rest) { return rest.length + a[0]; }
    export function main(m) { return [f(m, 1, 2), g(m, 1, 2), f.length, g.name]; }`,
  'default parameters that touch nothing': `const K = 2; function f(m, i = K, j = i + 1) { return m[i] + m[j]; } export function main(m) { return [f(m), f(m, 0)]; }`,
  'default parameters that touch shared memory': `const at = (m, i) => m[i];
    function f(m, i = m[0], j = i + 1, k = at(m, j), ...rest) { return [i, j, k, rest.length].join(); }
    const g = (m, i = m[1]) => i * 10; const h = (m, i = at(m, 2)) => { return i; };
    class A { constructor(m) { this.m = m; } get(i = this.m[3], n = arguments.length) { return i * 10 + n; } }
    export function main(m) { return [f(m), f(m, 4), f(m, undefined, 1, undefined, 2), f(m, 1, 2, 3, 4), g(m), g(m, 7), h(m), h(m, null), new A(m).get(), new A(m).get(2), f.length]; }`,
  'a computed callee': `export function main(m) { const table = [(i) => m[i], (i) => m[i] * 2]; const o = { f: () => m[3] }; return [table[0](1), table[m[0]](1), o['f'](), (0, o.f)()]; }`,
  'chained calls': `class W { constructor(m) { this.m = m; } at0() { return this.m[0]; } next() { this.m[0]++; return this; } }
    export function main(m) { return new W(m).next().next().at0(); }`,
  atomics: `export function main(m) {
    return [Atomics.load(m, 0), Atomics.store(m, 1, 20), Atomics.add(m, 2, 3), Atomics.sub(m, 2, 1), Atomics.and(m, 3, 6), Atomics.or(m, 3, 8),
      Atomics.xor(m, 4, 1), Atomics.exchange(m, 5, 50), Atomics.compareExchange(m, 6, 7, 70), Atomics.compareExchange(m, 6, 7, 71), Atomics.isLockFree(4),
      Atomics.load(m, Atomics.load(m, 7) - 8), Atomics.notify(m, 0, 1), Atomics.wait(m, 0, 5, 0)];
  }`,
  'data views': `export function main(m) {
    const v = new DataView(m.buffer); v.setInt16(2, 0x1234, true); v.setUint8(m[0], 7);
    return [v.getInt16(2, true), v.getUint8(1), v.getInt32(0), new DataView(new ArrayBuffer(8)).getInt8(0), v.byteLength];
  }`,
  'bulk methods': `export function main(m) {
    m.fill(9, 6); m.copyWithin(0, 6); m.set([4, 5], 2); m.subarray(4).set(m.subarray(0, 2));
    const c = m.slice(0, 3); const t = new Int32Array(2); t.set(m.subarray(2, 4));
    return [c.join(), m.indexOf(9), m.includes(77), m.at(-1), m.join('-'), t.join(), [3, 1, 2].slice(1).join(), 'abc'.slice(1), [5].fill(1).join(), [1].includes(1)];
  }`,
  'several declarators and patterns in loops': `export function main(m) { let r = ''; for (const { a, b = m[1] } of [{ a: m[0] }, { a: 2, b: 3 }]) r += a + b; for (let i = m[0], j = m[3]; i < j; i++, j--) r += m[i] - m[j]; return r; }`,
  'immediately invoked functions':
    'export function main(m) { return [(() => m[0])(), (function () { return m[1]; })(), ((a) => { return a + m[2]; })(m[3])]; }',
  'async code that touches nothing': `export function main(m) { const f = async () => { await null; return 1; }; f(); return m[0]; }`,
};

describe('the transformed program', () => {
  for (const [name, source] of Object.entries(PROGRAMS)) {
    test(`${name}: same result, same memory`, () => {
      const plain = sharedWords();
      const explored = sharedWords();
      const expected = runPlain(source, plain);
      const { outcome, ops } = runExplored(source, explored);
      expect(normal(outcome, explored)).toEqual(normal(expected.outcome, plain));
      expect([...explored]).toEqual([...plain]);
      expect(ops.length).toBeGreaterThan(0);
    });

    if (!/atomics|views|bulk|shadowing/.test(name)) {
      test(`${name}: same accesses in the same order`, () => {
        const log: string[] = [];
        const explored = sharedWords();
        runPlain(source, watched(sharedWords(), log));
        expect(runExplored(source, explored).ops).toEqual(log);
      });

      test(`${name}: no op on memory that is not shared`, () => {
        const plain = [1, 2, 3, 4, 5, 6, 7, 8];
        const explored = [...plain];
        const expected = runPlain(source, plain);
        const { outcome, ops } = runExplored(source, explored);
        expect(ops).toEqual([]);
        expect(normal(outcome, explored)).toEqual(normal(expected.outcome, plain));
        expect(explored).toEqual(plain);
      });
    }
  }
});

/** Results compared as values; the memory itself by a name. */
function normal(value: unknown, memory: unknown): unknown {
  if (value === memory) return 'm';
  return Array.isArray(value) ? value.map((one) => normal(one, memory)) : value;
}

describe('TypeScript', () => {
  test('temporaries stand before the first statement, also without directives', () => {
    const source = 'export function main(m: any): void { m[0] += 1; m[1]++; }';
    const { code } = transform(source, { file: '/test/source.ts' });
    expect(code).toMatch(/main\(m: any\): void \{ let __rt_0[^;]*; if \(__rt\.stops/);
  });
});

describe('modules', () => {
  test('a `#!` line stays first, and every line where it was', () => {
    const source = '#!/usr/bin/env node\nexport function main(m) {\n  return m[0];\n}\n';
    const lines = compile(source).code.split('\n');
    expect(lines[0]).toBe('#!/usr/bin/env node');
    expect(lines[1]).toContain('export function* main(m) {');
    expect(lines).toHaveLength(source.split('\n').length);
  });

  test('a default export is a generator with its name', () => {
    const module = evaluate(compile('export default function named(m) { return m[0]; }').code);
    const ops: string[] = [];
    expect(drive(module['default'](sharedWords()), ops)).toBe(1);
    expect(ops).toEqual(['read 0']);
  });

  test('BigInt elements keep their type', () => {
    const source = 'export function main(m) { m[0] += 2n; return [m[0]++, ++m[1], m[1]--, m[0]]; }';
    const plain = new BigInt64Array(new SharedArrayBuffer(16));
    const explored = new BigInt64Array(new SharedArrayBuffer(16));
    expect(runExplored(source, explored).outcome).toEqual(runPlain(source, plain).outcome);
    expect([...explored]).toEqual([...plain]);
  });

  test('pause exists for virtual CPUs on every engine', () => {
    const source =
      'const pause = Atomics.pause; export function main(m) { pause?.(); Atomics.pause?.(); return typeof pause; }';
    const { outcome, ops } = runExplored(source, sharedWords());
    expect(outcome).toBe('function');
    expect(ops.length).toBe(2);
  });

  test('two CPUs inside one function do not share temporaries', () => {
    const source = 'export function main(m, i) { return m[m[i] + 0] * 100 + m[m[i + 1] + 0]; }';
    const { main } = evaluate(compile(source).code);
    const words = sharedWords();
    const running = [main(words, 0), main(words, 2)];
    const results: unknown[] = [];
    const answers: unknown[] = [undefined, undefined];
    // Strictly alternating.
    for (let turn = 0; results.length < 2; turn++) {
      const cpu = turn & 1;
      const next = running[cpu]!.next(answers[cpu]);
      if (next.done) {
        if (results[cpu] === undefined) results[cpu] = next.value;
        continue;
      }
      const { kind, target, index } = next.value;
      answers[cpu] = kind === 15 ? target[index] : undefined;
    }
    expect(results).toEqual([203, 405]);
  });
});
