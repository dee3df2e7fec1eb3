/** One check: search, shrink, record, report. */
import { judgeOf, type Tally } from './oracle/judge.ts';
import { type CheckOptions, runOptions, searchOptions } from './options.ts';
import { covered } from './report/coverage.ts';
import { page } from './report/page/page.ts';
import { noRun } from './report/merge.ts';
import type { CheckFailure, CheckReport } from './report/report.ts';
import { text } from './report/text.ts';
import { record, type Trace } from './report/trace.ts';
import { Machine } from './runtime/machine.ts';
import type { Program } from './runtime/program.ts';
import { describeProgram, keptOf, only, type Scenario } from './scenario.ts';
import { minimise } from './search/minimise.ts';
import { type Phase, search } from './search/portfolio.ts';
import { formatReplay, type Kept, parseReplay } from './search/replay.ts';
import { format, parse } from './search/schedule.ts';
import { shrink } from './search/shrink.ts';
import { divergence, impossible, signature, stepsOf, type StoredSchedule } from './search/store.ts';

/** Explores a compiled scenario. Throws only when none of its code was seen to share memory. */
export function explore(
  name: string,
  program: Program,
  scenario: Scenario,
  options: CheckOptions,
): CheckReport {
  const begin = performance.now();
  const machine = new Machine(program, runOptions(options));
  const tally: Tally = { reachable: {}, outcomes: {} };
  const judge = judgeOf(scenario, options, tally);
  const silent = judgeOf(scenario, options, null);
  const settings = searchOptions(options);
  const notes: string[] = [];
  let stored: StoredSchedule | null = null;

  if (options.replay !== undefined) {
    const { generated, kept, choices } = parseReplay(options.replay);
    if (generated !== null) {
      throw new SyntaxError(`interleave: no scenario of '${name}' is generated: ${options.replay}`);
    }
    const part = kept === null ? program : only(program, kept);
    const replaying = kept === null ? machine : new Machine(part, machine.options);
    const trace = record(replaying, choices, judge);
    const steps = stepsOf(options.stored ?? [], options.replay);
    const where = steps === null ? impossible(choices, trace) : divergence({ steps }, trace);
    if (where !== null) notes.push(`the replay diverges: ${where}`);
    const runs = { name: 'replay', runs: 1, steps: replaying.steps, ms: 0 };
    const replayed = [{ ...runs, complete: true, redundant: 0 }];
    const failed = failureOf(trace, kept === null ? '' : describeProgram(part));
    if (failed !== null) {
      failed.replay = `${name}:${formatReplay({ generated: null, kept, choices: trace.choices })}`;
      if (kept === null) stored = signature(trace);
    }
    return finish(replayed, 1, replaying.steps, 0, 0, '', failed);
  }
  for (const known of options.stored ?? []) {
    const trace = record(machine, parse(known.schedule), silent);
    const where = divergence(known, trace);
    if (where !== null) notes.push(`the stored schedule ${known.schedule} diverges: ${where}`);
  }

  // Of a shard nothing in particular is expected.
  const wanting = (): boolean =>
    settings.shard[1] === 1 && Object.values(tally.reachable).includes(0);
  const found = search(machine, settings, judge, wanting);
  if (!machine.touched && found.failure === null) {
    throw new Error(
      `interleave: '${name}' made no step: no shared access was seen. Is the code transformed ` +
        '(imported with ?explore, or hand-written generators)?',
    );
  }
  let failure: CheckFailure | null = null;
  if (found.failure !== null) {
    let failing = found.failure;
    if (options.shrink ?? true) failing = shrink(machine, failing, silent);
    // What is stored, and run first next time: CPUs are numbered otherwise in a minimised scenario.
    const { choices: original } = failing;
    const { kind } = failing.outcome;
    let smallest = '';
    let kept: Kept | null = null;
    let last: Machine = machine;
    if (options.minimise ?? (kind === 'race' || kind === 'linearizability')) {
      const small = minimise(program, machine.options, kind, settings, silent);
      if (small !== null) {
        smallest = describeProgram(small.program);
        kept = keptOf(small.program, program.cpus.length);
        failing = shrink(small.machine, small.failing, silent);
        last = small.machine;
      }
    }
    const trace = record(last, failing.choices, silent);
    const again = record(last, failing.choices, silent);
    const where = divergence(signature(again), trace);
    if (where !== null) {
      notes.push(`not deterministic: two runs of one schedule differ: ${where}`);
    }
    failure = failureOf(trace, smallest);
    failure ??= {
      kind,
      message: `${failing.outcome.message} (did not fail again when replayed)`,
      schedule: format(failing.choices),
      trace,
      scenario: smallest,
      replay: '',
    };
    const line = formatReplay({ generated: null, kept, choices: failing.choices });
    failure.replay = `${name}:${line}`;
    stored = kept === null ? signature(trace) : signature(record(machine, original, silent));
    if (kept !== null)
      stored = { ...stored, minimised: { replay: line, steps: signature(trace).steps } };
  } else if (settings.budgetMs > 0) {
    const missing = Object.entries(tally.reachable).filter(([, n]) => n === 0);
    const names = missing.map(([what]) => what).join(', ');
    // Another shard may reach it: the merge knows.
    if (missing.length > 0 && settings.shard[1] > 1)
      notes.push(`not reached in this shard: ${names}`);
    else if (missing.length > 0) failure = noRun('unreachable', `no schedule reached: ${names}`);
    const { cut, runs } = found;
    if (cut === runs && runs > 0 && settings.shard[1] === 1) {
      failure = noRun('step limit', `none of ${runs} schedules came to its end`);
    }
  }
  return finish(
    found.phases,
    found.runs,
    found.steps,
    found.cut,
    found.folded,
    found.exhaustive,
    failure,
  );

  function finish(
    phases: readonly Phase[],
    runs: number,
    steps: number,
    cut: number,
    folded: number,
    exhaustive: CheckReport['exhaustive'],
    failed: CheckFailure | null,
  ): CheckReport {
    const { seed, shard } = settings;
    const report: CheckReport = {
      name,
      ok: failed === null,
      failure: failed,
      phases,
      runs,
      steps,
      ms: performance.now() - begin,
      cut,
      folded,
      exhaustive,
      covered: covered(scenario, phases, failed, exhaustive, runs, cut, folded, seed, shard),
      seed,
      shard,
      reachable: tally.reachable,
      outcomes: tally.outcomes,
      notes,
      stored,
      text: () => text(report),
      html: (read) => page(report, read),
    };
    return report;
  }
}

function failureOf(trace: Trace, scenario: string): CheckFailure | null {
  if (trace.outcome === null) return null;
  const { kind, message, error } = trace.outcome;
  return {
    kind,
    message,
    error,
    schedule: trace.schedule,
    trace,
    scenario,
    replay: trace.schedule,
  };
}
