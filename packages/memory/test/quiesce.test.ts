/** Standing still, on virtual CPUs: what counts as still, who is named, and what an asker leaves. */

import { expect, test } from 'vitest';
import {
  Arena,
  ArenaHeader,
  claimCpu,
  type Cpu,
  enterCpu,
  leaveCpu,
  markDead,
  quiesce,
  quiesceAsync,
  recover,
} from '../src/index.ts';

const QUIESCE = ArenaHeader.fields.quiesce.at;

function cpus(count: number, mayBlock = true): Cpu[] {
  const arena = Arena.create({ bytes: 1 << 20, cpus: count });
  return Array.from({ length: count }, () => claimCpu(arena, { manualLeave: true, mayBlock }));
}

test('idle, offline and dead CPUs are still; the word is given back', () => {
  const [a, b, c] = cpus(5) as [Cpu, Cpu, Cpu];
  enterCpu(b);
  leaveCpu(b);
  markDead(a, c.number, c.incarnation);
  const seen: number[] = [];
  const result = quiesce(a, () => seen.push(a.words[QUIESCE]!));
  expect(result).toEqual({ value: 1, exact: true, unanswered: [] });
  expect(seen).toEqual([a.lockWord]);
  expect(a.words[QUIESCE]).toBe(0);
});

test('a CPU that runs and does not answer is named behind the bound', () => {
  const [a, b] = cpus(3) as [Cpu, Cpu];
  enterCpu(b);
  const from = performance.now();
  expect(quiesce(a, () => 7, 20)).toEqual({ value: 7, exact: false, unanswered: [b.number] });
  expect(performance.now() - from).toBeGreaterThanOrEqual(19);
  // The request stays posted: it answers, and does not stand still for one who is gone.
  leaveCpu(b);
  expect(quiesce(a, () => 8, 20)).toEqual({ value: 8, exact: true, unanswered: [] });
});

test('a CPU that enters and leaves during the reading makes it read again', () => {
  const [a, b] = cpus(2) as [Cpu, Cpu];
  let reads = 0;
  const read = (): number => {
    if (++reads < 3) {
      enterCpu(b);
      leaveCpu(b);
    }
    return reads;
  };
  expect(quiesce(a, read)).toEqual({ value: 3, exact: true, unanswered: [] });
  const busy = (): void => {
    enterCpu(b);
    leaveCpu(b);
  };
  expect(quiesce(a, busy, 5)).toMatchObject({ exact: false, unanswered: [b.number] });
});

test('a thread that may not block looks for 2 ms, asynchronously for as long as it is told', async () => {
  const [a, b] = cpus(2, false) as [Cpu, Cpu];
  enterCpu(b);
  const from = performance.now();
  expect(quiesce(a, () => 1, 10_000)).toMatchObject({ exact: false, unanswered: [b.number] });
  expect(performance.now() - from).toBeLessThan(5000);
  leaveCpu(a);
  setTimeout(() => leaveCpu(b), 5);
  expect(await quiesceAsync(a, () => 2, 10_000)).toEqual({
    value: 2,
    exact: true,
    unanswered: [],
  });
  expect(a.words[QUIESCE]).toBe(0);
});

test('a second asker waits for the first, and says who it was', () => {
  const [a, b] = cpus(2) as [Cpu, Cpu];
  let inner: unknown;
  const outer = quiesce(
    a,
    () => {
      inner = quiesce(b, () => 'inner', 5);
      leaveCpu(b);
      return 'outer';
    },
    0,
  );
  expect(inner).toEqual({ value: 'inner', exact: false, unanswered: [a.number] });
  expect(outer).toMatchObject({ value: 'outer', exact: false, unanswered: [b.number] });
});

test('what read throws goes through, with the word given back', () => {
  const [a] = cpus(2) as [Cpu];
  const failing = (): never => {
    throw new TypeError('bad');
  };
  expect(() => quiesce(a, failing)).toThrow(TypeError);
  expect(a.words[QUIESCE]).toBe(0);
});

test('an asker that died is cleared by its recovery, or by the next asker', () => {
  const [a, b, c] = cpus(3) as [Cpu, Cpu, Cpu];
  Atomics.store(a.words, QUIESCE, b.lockWord);
  markDead(a, b.number, b.incarnation);
  expect(quiesce(a, () => 1)).toMatchObject({ exact: true });
  Atomics.store(a.words, QUIESCE, b.lockWord);
  expect(recover(a, b.number, b.incarnation)).toBe('recovered');
  expect(a.words[QUIESCE]).toBe(0);
  // A live one's word stays, whoever is recovered.
  Atomics.store(a.words, QUIESCE, a.lockWord);
  expect(recover(a, c.number, c.incarnation)).not.toBe('busy');
  expect(a.words[QUIESCE]).toBe(a.lockWord);
});
