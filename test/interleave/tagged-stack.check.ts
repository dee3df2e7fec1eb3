/** The lock-free stack with tags: linearizable to a stack under the pattern that makes ABA. */
import { check, model } from '@umbuf/interleave/vitest';
import { taggedInit, taggedPop, taggedPush } from '@umbuf/memory';
import { BUDGET_MS } from './support/arena.ts';

interface Stack {
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** The head at 0, nodes at bytes 16, 32, 48: the link of each is its first word. */
function stack(): Stack {
  const buffer = new SharedArrayBuffer(64);
  const made = { longs: new BigInt64Array(buffer), words: new Int32Array(buffer) };
  taggedInit(made.longs, 0);
  return made;
}

const operations = {
  push: ({ longs, words }: Stack, node: number) => taggedPush(longs, words, 0, node, 0),
  pop: ({ longs, words }: Stack) => taggedPop(longs, words, 0, 0),
};

const words = { 0: 'head: node', 4: 'head: tag', 16: 'link 16', 32: 'link 32', 48: 'link 48' };

/** Nodes on the stack at the end. */
function rest({ longs, words: links }: Stack): number[] {
  const nodes: number[] = [];
  let node = Number(BigInt.asIntN(32, longs[0]!));
  while (node !== 0 && nodes.length < 9) {
    nodes.push(node);
    node = links[node >> 2]!;
  }
  return nodes;
}

check(
  'tagged stack: pop, pop | pop, push back, pop',
  {
    setup: () => {
      const made = stack();
      taggedPush(made.longs, made.words, 0, 48, 0);
      taggedPush(made.longs, made.words, 0, 32, 0);
      taggedPush(made.longs, made.words, 0, 16, 0);
      return { ...made, popped: [[], []] as number[][], returned: { node: 0 } };
    },
    cpus: {
      a: [
        (s) => s.popped[0]!.push(taggedPop(s.longs, s.words, 0, 0)),
        (s) => s.popped[0]!.push(taggedPop(s.longs, s.words, 0, 0)),
      ],
      b: (s) => {
        const node = taggedPop(s.longs, s.words, 0, 0);
        s.popped[1]!.push(taggedPop(s.longs, s.words, 0, 0));
        if (node !== 0) taggedPush(s.longs, s.words, 0, node, 0);
        s.returned.node = node;
      },
    },
    final: (s) => {
      const all = [...s.popped.flat().filter((node) => node !== 0), ...rest(s)];
      return all.toSorted((x, y) => x - y).join() === '16,32,48';
    },
    reachable: {
      'the first node came back and was popped by the other': (s) =>
        s.returned.node === 16 && s.popped[0]!.includes(16),
    },
    words,
  },
  { budgetMs: BUDGET_MS },
);

check(
  'tagged stack: linearizable, pops of an empty stack included',
  {
    setup: () => {
      const made = stack();
      taggedPush(made.longs, made.words, 0, 16, 0);
      return made;
    },
    operations,
    cpus: {
      setter: [['pop'], ['push', 32], ['pop']],
      getter: [['push', 48], ['pop']],
    },
    // The model begins empty: the node that is there from the start is its initial state.
    linearizable: { ...model.stack({ empty: 0 }), initial: [16] },
    reachable: {
      "a pop got the other CPU's node": (_, { history }) =>
        history.some(({ cpu, name, result }) => cpu === 0 && name === 'pop' && result === 48),
    },
    words,
  },
  { budgetMs: BUDGET_MS },
);
