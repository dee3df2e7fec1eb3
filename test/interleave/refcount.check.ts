/** The reference count: the last release is seen exactly once, and sees all that was written. */
import { check } from '@umbuf/interleave/vitest';
import { refcountAdd, refcountInit, refcountLoad, refcountRelease } from '@umbuf/memory';
import { BUDGET_MS } from './support/arena.ts';

type Words = Int32Array<SharedArrayBuffer>;

interface Shared {
  /** Word 0 the count, words 1 to 4 what each CPU writes plainly, word 5 what the last one does. */
  readonly words: Words;
  readonly last: number[];
}

const words = { 0: 'count', 4: 'a', 8: 'b', 12: 'c', 16: 'd', 20: 'sum' };

function object(references: number): Shared {
  const made = new Int32Array(new SharedArrayBuffer(32));
  refcountInit(made, 0, references);
  return { words: made, last: [] };
}

/** Writes its word, releases; the last one owns all words alone. */
function release(o: Shared, cpu: number): void {
  o.words[1 + cpu] = 1;
  if (!refcountRelease(o.words, 0)) return;
  o.words[5] = o.words[1]! + o.words[2]! + o.words[3]! + o.words[4]!;
  o.last.push(cpu);
}

/** Takes a second reference and drops it, then drops its own. */
function share(o: Shared, cpu: number): void {
  refcountAdd(o.words, 0);
  if (refcountRelease(o.words, 0)) o.last.push(cpu);
  release(o, cpu);
}

for (const cpus of [2, 3, 4]) {
  const names = ['a', 'b', 'c', 'd'].slice(0, cpus);
  check(
    `refcount: ${cpus} CPUs release, the last owns the object`,
    {
      setup: () => object(cpus),
      cpus: Object.fromEntries(names.map((name, cpu) => [name, (o: Shared) => release(o, cpu)])),
      final: (o: Shared) =>
        o.last.length === 1 && o.words[5] === cpus && refcountLoad(o.words, 0) === 0,
      reachable: Object.fromEntries(
        names.map((name, cpu) => [`${name} was the last`, (o: Shared) => o.last[0] === cpu]),
      ),
      words,
    },
    { budgetMs: BUDGET_MS },
  );
}

check(
  'refcount: references come and go while others release',
  {
    setup: () => object(3),
    cpus: {
      a: (o: Shared) => share(o, 0),
      b: (o: Shared) => share(o, 1),
      c: (o: Shared) => release(o, 2),
    },
    final: (o: Shared) => o.last.length === 1 && o.words[5] === 3 && refcountLoad(o.words, 0) === 0,
    reachable: { 'c was the last': (o: Shared) => o.last[0] === 2 },
    words,
  },
  { budgetMs: BUDGET_MS },
);
