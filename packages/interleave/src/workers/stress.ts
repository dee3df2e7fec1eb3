/**
 * The same scenario as an aligned stress loop on real workers: all CPUs start each run together,
 * after a random delay, and the outcomes are counted. It samples what the hardware and V8 do; it
 * proves nothing, has no replay, and cannot see a race without symptom: that is the explorer's.
 *
 * Judged: `outcome` with its table, `final`, what a body throws, and a hang. Not judged here:
 * `always`, `linearizable`, `reachable`, deaths.
 */
import type { Expectation } from '../options.ts';
import type { HistoryEntry } from '../runtime/cpu.ts';
import type { End } from '../scenario.ts';
import { PROGRESS } from './control.ts';
import { Crew } from './crew.ts';
import type { BodyResult, SharedScenario } from './scenario.ts';

/** How long, and what is expected. */
export interface StressOptions {
  /** Name of the module's export. Default 'scenario'. */
  readonly name?: string;
  /** Default 1000. */
  readonly ms?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Runs made with one message. Default 256. */
  readonly batch?: number;
  /** A batch that takes longer hangs. Default 5000 ms. */
  readonly hangMs?: number;
  readonly outcomes?: Readonly<Record<string, Expectation>>;
}

/** What came of it. */
export interface StressReport {
  readonly ok: boolean;
  readonly runs: number;
  readonly ms: number;
  readonly seed: number;
  readonly outcomes: Readonly<Record<string, { readonly count: number; readonly expect: string }>>;
  /** The first failure. */
  readonly failure: string | null;
}

/** The report as a table of outcomes, the rarest last. */
export function stressTable(name: string, report: StressReport): string {
  const { ok, runs, ms, seed, failure } = report;
  const rows = Object.entries(report.outcomes).toSorted(([, a], [, b]) => b.count - a.count);
  const width = Math.max(7, ...rows.map(([id]) => id.length));
  const lines = rows.map(([id, { count, expect }]) => {
    const share = `${((100 * count) / runs).toFixed(2)} %`;
    return `  ${id.padEnd(width)} ${String(count).padStart(10)} ${share.padStart(9)}  ${expect}`;
  });
  const head = `${ok ? 'ok' : 'FAILED'}: ${name}: ${runs} runs in ${Math.round(ms)} ms, seed ${seed}`;
  const title = `  ${'outcome'.padEnd(width)} ${'runs'.padStart(10)} ${'share'.padStart(9)}  expected`;
  const table = lines.length === 0 ? [] : [title, ...lines];
  return [head, ...table, ...(failure === null ? [] : [`  ${failure}`])].join('\n');
}

/** Runs a module's scenario on real workers for a while. The module must be JavaScript. */
export async function stress(
  module: string | URL,
  options: StressOptions = {},
): Promise<StressReport> {
  const { name = 'scenario', ms = 1000, seed = 1, batch = 256, hangMs = 5000 } = options;
  const url = String(module);
  const scenario = ((await import(url)) as Record<string, SharedScenario>)[name];
  if (scenario === undefined) throw new TypeError(`interleave: ${url} does not export '${name}'`);
  const cpus = Object.keys(scenario.cpus);
  const crew = await Crew.start(url, name, cpus, 'stress', seed);
  const outcomes: Record<string, { count: number; expect: string }> = {};
  const begin = performance.now();
  let runs = 0;
  let failure: string | null = null;
  try {
    while (failure === null && performance.now() - begin < ms) {
      const contexts = Array.from({ length: batch }, () => scenario.setup(scenario.prepare?.()));
      crew.send({
        contexts: contexts.map((c) => scenario.share?.(c) ?? c),
        events: [],
        from: runs,
      });
      const all: BodyResult[][][] = [];
      for (const [i, cpu] of cpus.entries()) {
        const message = await crew.receive(i, hangMs);
        if (message === null) {
          const at = cpus.map((c, k) => `${c} ${Atomics.load(crew.control, PROGRESS + k)}`);
          failure = `hang: ${cpu} does not come back (runs done: ${at.join(', ')})`;
          break;
        }
        if (message.kind === 'results') all.push(message.results);
      }
      if (failure !== null) break;
      for (let r = 0; r < batch && failure === null; r++) {
        failure = judge(scenario, contexts[r], cpus, all, r, outcomes, options.outcomes);
      }
      runs += batch;
    }
  } finally {
    await crew.stop();
  }
  return { ok: failure === null, runs, ms: performance.now() - begin, seed, outcomes, failure };
}

function judge(
  scenario: SharedScenario,
  context: unknown,
  cpus: readonly string[],
  all: readonly BodyResult[][][],
  r: number,
  outcomes: Record<string, { count: number; expect: string }>,
  table: StressOptions['outcomes'],
): string | null {
  const history: HistoryEntry[] = [];
  for (let c = 0; c < cpus.length; c++) {
    for (const { name, args, value, error } of all[c]?.[r] ?? []) {
      if (error !== undefined) return `${cpus[c]} threw ${error}`;
      history.push({ cpu: c, name, args, result: value, invoked: 0, returned: 0 });
    }
  }
  const end: End = { dead: [], history };
  try {
    if (scenario.final?.(context, end) === false) return 'final returned false';
  } catch (error) {
    return `final: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (scenario.outcome === undefined) return null;
  const id = scenario.outcome(context, end);
  const expect = table?.[id] ?? (table === undefined ? 'acceptable' : 'forbidden');
  (outcomes[id] ??= { count: 0, expect }).count++;
  return expect === 'forbidden' ? `forbidden outcome ${id}` : null;
}
