/**
 * The rule of straight lines (packages/memory/src/cpu/hand-stack.ts): between `// straight` and
 * `// end` V8 can stop a thread nowhere but at the entry of one atomic access.
 */

import {
  atomicsMethod,
  lineOf,
  type Node,
  parse,
  type Problem,
  type Source,
  walk,
} from './sources.ts';

/** First and last offset between the two marks. */
interface Region {
  readonly start: number;
  readonly end: number;
}

const LOOPS = new Set([
  'ForStatement',
  'ForInStatement',
  'ForOfStatement',
  'WhileStatement',
  'DoWhileStatement',
]);
const CALLS = new Set([
  'CallExpression',
  'NewExpression',
  'ImportExpression',
  'TaggedTemplateExpression',
]);
const WAITS = new Set(['AwaitExpression', 'YieldExpression']);
/** No interrupt point: measured in test/death/straight-line.guard.test.ts. */
const NO_POINT = 'notify';

/** What breaks the rule in one source. */
export function straightProblems(source: Source): Problem[] {
  const { regions, problems } = findRegions(source);
  if (regions.length === 0) return problems;
  const atomics = regions.map(() => 0);
  const complain = (node: Node, message: string): void => {
    problems.push(`${source.path}:${lineOf(source.text, node.start)}: ${message}`);
  };
  walk(parse(source), (node) => {
    const index = regions.findIndex(({ start, end }) => node.start >= start && node.start < end);
    if (index < 0) return;
    if (LOOPS.has(node.type)) complain(node, 'a loop in a straight line');
    if (WAITS.has(node.type)) complain(node, 'a wait in a straight line');
    if (!CALLS.has(node.type)) return;
    const method = atomicsMethod(node);
    if (method === undefined || method.startsWith('wait')) {
      complain(node, `a call in a straight line: ${firstLine(source, node)}`);
    } else if (method !== NO_POINT && ++atomics[index]! > 1) {
      complain(node, `atomic access ${atomics[index]} in one straight line: Atomics.${method}`);
    }
  });
  return problems;
}

/** The number of regions, for a check that they are found at all. */
export function straightRegions(source: Source): number {
  return findRegions(source).regions.length;
}

function findRegions({ path, text }: Source): { regions: Region[]; problems: Problem[] } {
  const regions: Region[] = [];
  const problems: Problem[] = [];
  let start = -1;
  let openedAt = 0;
  let offset = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const mark = /^\s*\/\/ (straight|end)\b(:|$)/.exec(line)?.[1];
    if (mark === 'straight') {
      if (start >= 0) problems.push(`${path}:${index + 1}: straight line inside another`);
      start = offset;
      openedAt = index + 1;
    } else if (mark === 'end') {
      if (start < 0) problems.push(`${path}:${index + 1}: end of no straight line`);
      else regions.push({ start, end: offset });
      start = -1;
    }
    offset += line.length + 1;
  }
  if (start >= 0) problems.push(`${path}:${openedAt}: straight line without an end`);
  return { regions, problems };
}

function firstLine({ text }: Source, node: Node): string {
  return text.slice(node.start, node.end).split('\n')[0]!;
}
