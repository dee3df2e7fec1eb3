/** The tagged stack in one thread: order, tag, and the ABA interleaving played by hand. */
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import {
  taggedChanges,
  taggedInit,
  taggedPop,
  taggedPush,
  taggedTop,
} from '../src/sync/tagged-stack.ts';

const SEED = 0x5eed_0003;
const HEAD = 1;
const LINK = 8;

function makeStack() {
  const buffer = new SharedArrayBuffer(4096);
  const longs = new BigInt64Array(buffer);
  const words = new Int32Array(buffer);
  taggedInit(longs, HEAD);
  return {
    longs,
    words,
    push: (node: number) => taggedPush(longs, words, HEAD, node, LINK),
    pop: () => taggedPop(longs, words, HEAD, LINK),
  };
}

test('agrees with an array over any program, and counts its changes', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 80 }), (program) => {
      const { longs, push, pop } = makeStack();
      const free = Array.from({ length: 16 }, (_, i) => 64 + i * 32);
      const model: number[] = [];
      let changes = 0;
      for (const isPush of program) {
        if (isPush && free.length > 0) {
          const node = free.pop()!;
          push(node);
          model.push(node);
          changes++;
        } else {
          const node = model.pop() ?? 0;
          expect(pop()).toBe(node);
          if (node !== 0) {
            free.unshift(node);
            changes++;
          }
        }
        expect(taggedTop(longs, HEAD)).toBe(model.at(-1) ?? 0);
        expect(taggedChanges(longs, HEAD)).toBe(changes);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test('the tag wraps without touching the node', () => {
  const { longs, push, pop } = makeStack();
  for (const tag of [0x7fff_ffffn, 0xffff_ffffn]) {
    Atomics.store(longs, HEAD, BigInt.asIntN(64, tag << 32n));
    push(2048);
    expect(taggedTop(longs, HEAD)).toBe(2048);
    expect(taggedChanges(longs, HEAD)).toBe(Number((tag + 1n) & 0xffff_ffffn));
    expect(pop()).toBe(2048);
    expect(pop()).toBe(0);
  }
});

test('a link that was anything when read never reaches the tag', () => {
  const { longs, words, push, pop } = makeStack();
  push(2048);
  Atomics.store(words, (2048 + LINK) >> 2, -4);
  expect(pop()).toBe(2048);
  expect(taggedChanges(longs, HEAD)).toBe(2);
});

test('a pop that is overtaken by pop, pop, push of its node (ABA) starts again', () => {
  const { words, push, pop } = makeStack();
  const [a, b, c] = [64, 128, 192] as const;
  for (const node of [c, b, a]) push(node);
  // Between the victim's read of a's link (b) and its compare-exchange, others take a and b and
  // give a back. A head without a tag would take a and put b, which is in use, on top.
  const load = Atomics.load;
  const spy = vi.spyOn(Atomics, 'load').mockImplementation(((view: Int32Array, index: number) => {
    const value = load(view, index);
    if (view === (words as Int32Array) && index === (a + LINK) >> 2) {
      spy.mockRestore();
      expect([pop(), pop()]).toEqual([a, b]);
      push(a);
    }
    return value;
  }) as typeof Atomics.load);
  expect(pop()).toBe(a);
  expect([pop(), pop()]).toEqual([c, 0]);
});
