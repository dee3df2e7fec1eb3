/**
 * Random small programs, run as they stand and transformed: same result or error, same memory,
 * same element accesses in the same order; and on plain arrays no op at all.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  evaluate,
  compile,
  drive,
  runExplored,
  runPlain,
  sharedWords,
  watched,
} from './transform-harness.ts';

const RUNS = 400;

/** Sources of expressions over `m` (the memory), `a`, `b` (locals), `o` (an object), `f`, `g`. */
const { expression } = fc.letrec<{ expression: string; element: string; atom: string }>((tie) => ({
  atom: fc.constantFrom('a', 'b', '1', '2', '7', 'o.x', 'null', 'undefined'),
  element: tie('expression').map((index) => `m[(${index}) & 7]`),
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('atom'),
    tie('element'),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('+', '-', '*', '&', '<', '===', '&&', '||', ','),
        tie('expression'),
      )
      .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
    fc
      .tuple(tie('expression'), tie('expression'))
      .map(([left, right]) => `((${left}) ?? (${right}))`),
    fc
      .tuple(tie('expression'), tie('expression'), tie('expression'))
      .map(([x, y, z]) => `(${x} ? ${y} : ${z})`),
    fc
      .tuple(
        tie('element'),
        fc.constantFrom('=', '+=', '-=', '|=', '&&=', '||=', '??=', '<<='),
        tie('expression'),
      )
      .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
    fc
      .tuple(tie('element'), fc.constantFrom('++', '--'))
      .map(([left, operator]) => `${left}${operator}`),
    fc
      .tuple(fc.constantFrom('++', '--', '-', '!', 'typeof ', 'void '), tie('element'))
      .map(([op, x]) => `(${op}${x})`),
    fc
      .tuple(fc.constantFrom('a', 'b'), fc.constantFrom('=', '+=', '??='), tie('expression'))
      .map(([name, operator, right]) => `(${name} ${operator} ${right})`),
    tie('expression').map((x) => `f(${x})`),
    fc.tuple(tie('expression'), tie('expression')).map(([x, y]) => `o.g(${x}, ${y})`),
    fc.tuple(tie('expression'), tie('expression')).map(([x, y]) => `o.h?.(${x})?.[${y}]`),
    tie('expression').map((x) => `o.none?.[${x}].y(${x})`),
    tie('expression').map((x) => `o?.m[(${x}) & 7]`),
    tie('expression').map((x) => `\`<\${${x}}>\``),
    fc.tuple(tie('expression'), tie('expression')).map(([x, y]) => `[${x}, ...[${y}]].length`),
    fc.tuple(tie('expression'), tie('expression')).map(([x, y]) => `((p) => p + ${y})(${x})`),
    fc
      .tuple(tie('expression'), tie('expression'))
      .map(([x, y]) => `({ k: ${x}, n() { return ${y}; } }).n()`),
  ),
}));

const { statement } = fc.letrec<{ statement: string; block: string }>((tie) => ({
  block: fc.array(tie('statement'), { maxLength: 3 }).map((all) => `{ ${all.join(' ')} }`),
  statement: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    expression.map((x) => `${x.startsWith('{') ? `(${x})` : x};`),
    expression.map((x) => `log.push(String(${x}));`),
    fc.tuple(expression, tie('block'), tie('block')).map(([x, y, z]) => `if (${x}) ${y} else ${z}`),
    fc
      .tuple(expression, tie('statement'))
      .map(([x, y]) => `for (let i = 0; i < 2 && !(${x}); i++) ${y}`),
    fc
      .tuple(expression, tie('block'))
      .map(([x, y]) => `{ let n = 2; while (n-- > 0) { ${y} if (${x}) continue; a++; } }`),
    fc
      .tuple(expression, tie('block'))
      .map(([x, y]) => `{ let n = 2; do ${y} while (--n > 0 && (${x})); }`),
    fc
      .tuple(tie('block'), expression, tie('block'))
      .map(
        ([x, y, z]) =>
          `try { ${x} if (${y}) throw new Error('t' + a); } catch (e) { log.push(e.message); } finally ${z}`,
      ),
    fc
      .tuple(expression, expression, tie('block'))
      .map(([x, y, z]) => `switch (${x}) { case ${y}: ${z} default: b++; break; case 2: a--; }`),
    fc
      .tuple(expression, expression)
      .map(([x, y]) => `for (const v of [${x}, ${y}]) { if (v) break; log.push(v); }`),
    expression.map((x) => `{ const [p = ${x}, q] = [undefined, m[1]]; log.push(p, q); }`),
    fc
      .tuple(expression, expression)
      .map(([x, y]) => `{ const { p = ${x}, ...r } = { q: ${y} }; log.push(p, r.q); }`),
  ),
}));

const program = fc
  .tuple(fc.array(statement, { minLength: 1, maxLength: 4 }), expression, expression, expression)
  .map(
    ([body, f, g, result]) => `
let depth = 0;
export function main(m) {
  const log = []; let a = 3, b = 5;
  const f = (x) => (depth++ > 6 ? x : ${f.replaceAll('f(', '(').replaceAll('o.g(', '(')});
  const o = { x: 4, m, none: null, g(x, y) { if (depth++ > 6) return y; return [x, ${g.replaceAll('o.g(', '(')}].length; }, h: (x) => [x] };
  ${body.join('\n  ')}
  return JSON.stringify([log, a, b, ${result}]);
}`,
  );

test('random programs behave the same on shared memory, with the same accesses in the same order', () => {
  fc.assert(
    fc.property(program, (source) => {
      const log: string[] = [];
      const plain = sharedWords();
      const expected = runPlain(source, watched(plain, log));
      const explored = sharedWords();
      const ran = runExplored(source, explored);
      expect(ran.outcome).toEqual(expected.outcome);
      expect(ran.ops).toEqual(log);
      expect([...explored]).toEqual([...plain]);
    }),
    { numRuns: RUNS, seed: 20261124 },
  );
});

test('random programs behave the same on plain arrays, without an op', () => {
  fc.assert(
    fc.property(program, (source) => {
      const plain = [1, 2, 3, 4, 5, 6, 7, 8];
      const explored = [...plain];
      const expected = runPlain(source, plain);
      const ops: string[] = [];
      const { main } = evaluate(compile(source).code);
      let outcome: unknown;
      try {
        outcome = drive(main(explored), ops);
      } catch (error) {
        outcome = `${(error as Error).name}: ${(error as Error).message}`;
      }
      expect(outcome).toEqual(expected.outcome);
      expect(ops).toEqual([]);
      expect(explored).toEqual(plain);
    }),
    { numRuns: RUNS, seed: 20261125 },
  );
});
