/**
 * Guards the assumption that hand stacks rest on: `worker.terminate()` strikes at function entries,
 * loop back edges, inside waits and at the entry of an atomic access before its effect; never
 * between two plain statements, and never between an atomic's effect and the plain code behind it.
 * The contrast cases prove that the test sees a tear when there is one. If a shape fails on a new
 * Node, the rules in packages/memory/src/cpu/hand-stack.ts no longer hold there.
 */
import { afterEach, expect, test } from 'vitest';
import type { Shape, StraightLineData } from '../fixtures/straight-line-worker.ts';
import { randomFrom } from '../fixtures/random.ts';
import { sleep, startWorkers, stopWorkers, stressMs, testSeed } from '../support/workers.ts';

const SEED = testSeed(0x57a1);
/** Terminations of each shape; grows with UMBUF_STRESS_SECONDS. */
const TERMINATIONS = Math.ceil(30 * (stressMs / 2000));
const random = randomFrom(SEED);

/** How many of the terminations struck between the two counters. */
async function tears(shape: Shape): Promise<{ torn: number; ran: number }> {
  let torn = 0;
  let ran = 0;
  for (let batch = 0; batch < TERMINATIONS; batch += 2) {
    const buffers = [0, 1].map(() => new SharedArrayBuffer(8192));
    const workers = startWorkers<StraightLineData>(
      'straight-line-worker',
      buffers.map((buffer) => ({ buffer, shape })),
    );
    await Promise.all(workers.map(({ ready }) => ready));
    // Short ones die in the interpreter, long ones in optimised code.
    await sleep(random(12));
    await Promise.all(workers.map(({ worker }) => worker.terminate()));
    for (const buffer of buffers) {
      const [before, after, effect, plain] = new Int32Array(buffer) as unknown as number[];
      if (before !== after || (effect! & 0xffff) !== (plain! & 0xffff)) torn++;
      if (before !== 0 || plain !== 0) ran++;
    }
  }
  return { torn, ran };
}

afterEach(stopWorkers);

test.each<Shape>(['pages', 'unlock', 'enter', 'add', 'claim'])(
  `a straight line shaped like %s is never torn (${TERMINATIONS} terminations, seed ${SEED})`,
  async (shape) => {
    const { torn, ran } = await tears(shape);
    expect(torn).toBe(0);
    expect(ran).toBeGreaterThanOrEqual(TERMINATIONS * 0.9);
  },
);

test.each<Shape>(['torn-calls', 'torn-atomics'])(
  'the contrast %s is torn sometimes',
  async (shape) => {
    const { torn } = await tears(shape);
    expect(torn).toBeGreaterThan(0);
  },
);
