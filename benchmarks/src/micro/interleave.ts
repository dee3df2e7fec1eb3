/**
 * Throughput of the interleaving explorer, race detection on, on production modules as they are
 * built. A pass is one whole `check`, cut at a number of schedules. `interleave.step` counts its
 * scheduling steps, against bare steps of the same code: generators that yield each access to a loop
 * which performs it, without scheduler, detector or set-up. The other rows count schedules; each
 * schedule of a zone ends with an fsck of its arena, as in test/interleave.
 */

import { check, type Scenario, type Steps } from '@umbuf/interleave';
import { perform, yielding } from '@umbuf/interleave/runtime';
import { loadExplored } from '@umbuf/interleave/transform';
import { Arena, claimCpu, leaveCpu } from '@umbuf/memory';
import { fsck, Uma } from '@umbuf/uma';
import { compare, measureAlone, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';

/** Schedules of one pass, at most: a search is cut there, the same way each time. */
const RUNS = 200;
/** Times that the code of the bare side runs in a pass. */
const BARE_RUNS = 100;
/** Schedules a second, at least. */
const GOALS: Readonly<Record<string, number>> = {
  'interleave.tagged-stack': 10_000,
  'interleave.zone': 4_000,
};

type Explored = Readonly<Record<'prepare' | 'a' | 'b', (made: never) => Steps>>;

export async function measure(name: string, effort: Effort): Promise<Measurement> {
  const explored = (await loadExplored(new URL('interleave-scenarios.js', import.meta.url), {
    include: ['@umbuf/memory', '@umbuf/stats', '@umbuf/uma'],
    unsuspendable: 'guard',
  })) as Readonly<Record<'stack' | 'zone', Explored>>;
  if (name === 'interleave.step') {
    const { pass, steps } = searching('tagged stack', scenarioOf(explored.stack));
    const subject = { name: 'a step of the search', operations: steps, pass };
    return compare(subject, bare(explored.stack), effort);
  }
  const scenario =
    name === 'interleave.zone' ? withFsck(explored.zone) : scenarioOf(explored.stack);
  const { pass, runs } = searching(name, scenario);
  const measured = measureAlone({ name, operations: runs, pass }, effort);
  const goal = 1e9 / GOALS[name]!;
  const baseline = { name: `the goal of ${GOALS[name]} a second`, min: goal, median: goal };
  return { ...measured, baseline, ratio: measured.min / goal };
}

/** What `prepare` makes is made once for all passes, and each begins with its first bytes. */
function scenarioOf({ prepare, a, b }: Explored, also?: (made: unknown) => void): Scenario {
  let made: unknown;
  let restore: () => void;
  return {
    *prepare(): Steps {
      if (made === undefined) {
        made = yield* prepare(undefined as never);
        also?.(made);
        restore = restorer(made);
      }
      restore();
      return made;
    },
    setup: (prepared) => prepared,
    cpus: { a: a as (made: unknown) => Steps, b: b as (made: unknown) => Steps },
  };
}

function restorer(made: unknown): () => void {
  const { words, arena } = made as { words?: Int32Array; arena?: Arena };
  const live = new Uint8Array(words?.buffer ?? (arena!.memory as SharedArrayBuffer));
  const saved = new Uint8Array(live);
  return () => live.set(saved);
}

/** A pass explores the scenario from the start; what it takes is the same each time. */
function searching(
  name: string,
  scenario: Scenario,
): { pass: () => void; runs: number; steps: number } {
  const explore = (): { runs: number; steps: number } => {
    const report = check(name, scenario, { budgetMs: Infinity, maxRuns: RUNS });
    if (!report.ok) throw new Error(report.text());
    return report;
  };
  // What the first learns of spin loops is learned in every pass.
  const { runs, steps } = explore();
  return { pass: explore, runs, steps };
}

/** Inspected by a CPU of its own, in code that is not explored. */
function withFsck(explored: Explored): Scenario {
  let inspect: () => readonly string[];
  return {
    ...scenarioOf(explored, (made) => {
      inspect = inspector((made as { arena: Arena }).arena.memory as SharedArrayBuffer);
    }),
    final: () => inspect().length === 0,
  };
}

function inspector(memory: SharedArrayBuffer): () => readonly string[] {
  const arena = Arena.attach({ umbufArena: 1, memory });
  const cpu = claimCpu(arena, { number: 2, manualLeave: true, mayBlock: false });
  const uma = Uma.attach(cpu);
  leaveCpu(cpu);
  return () => {
    const { violations } = fsck(uma);
    leaveCpu(cpu);
    return violations;
  };
}

/** The same code, one CPU after the other. */
function bare({ prepare, a, b }: Explored): Side {
  const made = drive(() => prepare(undefined as never)).value as never;
  const restore = restorer(made);
  const once = (): number => {
    restore();
    return drive(() => a(made)).steps + drive(() => b(made)).steps;
  };
  const pass = (): void => {
    for (let run = 0; run < BARE_RUNS; run++) once();
  };
  return { name: 'a bare generator step', operations: once() * BARE_RUNS, pass };
}

function drive(start: () => Steps): { steps: number; value: unknown } {
  return yielding(() => {
    const generator = start();
    let steps = 0;
    let step = generator.next();
    for (; step.done !== true; steps++) step = generator.next(perform(step.value));
    return { steps, value: step.value };
  });
}
