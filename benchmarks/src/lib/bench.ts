/**
 * The measuring loop: tinybench takes the samples of both sides in turn, round by round, in one
 * process. A sample is many passes and 0.2 ms or more, some thousand timer ticks, so that neither
 * the timer nor the call of a pass shows; some of the many samples fall into moments in which
 * nobody else had the core, and their minimum is the figure to read.
 *
 * A pass is a closure with loops of its own: what it calls is called from there only, so its call
 * sites see what a user's would. The harness's own call of a pass sees both sides, once in half a
 * microsecond or more.
 */

import { Bench } from 'tinybench';
import { anotherRound, type Effort, type Figures, type Measurement } from './row.ts';

/** One side of a comparison: `pass` does `operations` operations. */
export interface Side {
  readonly name: string;
  readonly operations: number;
  readonly pass: () => void;
}

/** Shortest sample, milliseconds. */
const SAMPLE_MS = 0.2;
/** How long each side runs before anything is measured, milliseconds: V8 has optimised it then. */
const WARM_MS = 60;

/** `subject` against `baseline`, in turn. */
export function compare(subject: Side, baseline: Side, effort: Effort): Measurement {
  const [own, other] = measureSides([subject, baseline], effort) as [Figures, Figures];
  return {
    ...own,
    baseline: { name: baseline.name, ...other },
    ratio: own.min / other.min,
  };
}

/** `subject` alone. */
export function measureAlone(subject: Side, effort: Effort): Measurement {
  const [own] = measureSides([subject], effort) as [Figures];
  return { ...own, baseline: null, ratio: null };
}

/** Nanoseconds per operation of each side, measured in turn. */
export function measureSides(sides: readonly Side[], effort: Effort): Figures[] {
  const repeats = sides.map(warmUp);
  const samples = sides.map((): number[] => []);
  const start = performance.now();
  for (let round = 0; anotherRound(effort, round, start); round++) {
    const bench = new Bench({
      iterations: effort.samples,
      time: 0,
      warmup: false,
      retainSamples: true,
      throws: true,
      timestampProvider: 'hrtimeNow',
    });
    for (const [index, side] of sides.entries()) {
      const times = repeats[index]!;
      const { pass } = side;
      bench.add(String(index), () => {
        for (let turn = 0; turn < times; turn++) pass();
      });
    }
    for (const [index, task] of bench.runSync().entries()) {
      const { result } = task;
      if (result.state !== 'completed') throw new Error(`${sides[index]!.name}: ${result.state}`);
      samples[index]!.push(...result.latency.samples!);
    }
  }
  return sides.map((side, index) =>
    figures(samples[index]!, (repeats[index]! * side.operations) / 1e6),
  );
}

/** Runs a side until it is optimised; returns how many passes make a sample. */
function warmUp({ pass }: Side): number {
  const end = performance.now() + WARM_MS;
  let repeats = 1;
  let shortest = Infinity;
  while (performance.now() < end || shortest < SAMPLE_MS) {
    const start = performance.now();
    for (let turn = 0; turn < repeats; turn++) pass();
    const took = performance.now() - start;
    shortest = Math.min(shortest, took);
    if (took < SAMPLE_MS) {
      repeats = took < SAMPLE_MS / 4 ? repeats * 2 : repeats + Math.ceil(repeats / 4);
      shortest = Infinity;
    }
  }
  return repeats;
}

/** Minimum and median of samples in milliseconds, as nanoseconds per operation. */
export function figures(samples: readonly number[], operations: number): Figures {
  const sorted = [...samples].sort((left, right) => left - right);
  return {
    min: sorted[0]! / operations,
    median: sorted[sorted.length >> 1]! / operations,
  };
}
