/**
 * `check`: explores a scenario and returns a report. `check.generators` is the same for
 * hand-written generators, `check.outcomes` fills a table of outcomes, `check.ops` generates
 * scenarios from operations. Nothing here throws for a failure of the code under test: the report
 * says it (the vitest extension throws it).
 */
import { explore } from './explore.ts';
import { type Operations, type OperationsOptions, ops } from './generate.ts';
import type { CheckOptions, Expectation } from './options.ts';
import type { CheckReport } from './report/report.ts';
import { compile, type End, type Scenario } from './scenario.ts';

/** Explores a scenario. Throws only for a scenario that is not one. */
function run(name: string, scenario: Scenario, options: CheckOptions = {}): CheckReport {
  return explore(name, compile(scenario), scenario, options);
}

/** A table of outcomes (jcstress): the check fails on a forbidden or unlisted one. */
function outcomes<C>(
  name: string,
  scenario: Scenario<C> & { readonly outcome: (context: C, end: End) => string },
  table: Readonly<Record<string, Expectation>>,
  options: CheckOptions = {},
): CheckReport {
  return run(name, scenario as Scenario, { ...options, outcomes: table });
}

/** Explores; see each part's own documentation. */
export interface Check {
  <C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): CheckReport;
  /** The same, for hand-written generator functions. */
  generators<C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): CheckReport;
  /** With a table of outcomes. */
  outcomes: typeof outcomes;
  /** Scenarios generated from operations, minimised when one fails. */
  ops<C, P>(name: string, spec: Operations<C, P>, options?: OperationsOptions): CheckReport;
}

/** Explores a scenario and reports. */
export const check: Check = Object.assign(
  ((name, scenario, options) => run(name, scenario as Scenario, options)) as Check,
  {
    generators: ((name, scenario, options) =>
      run(name, scenario as Scenario, options)) as Check['generators'],
    outcomes,
    ops: ((name, spec, options) => ops(name, spec as Operations, options)) as Check['ops'],
  },
);
