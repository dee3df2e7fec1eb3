/**
 * Stands in for `@umbuf/interleave/vitest` while mutants run: each `check` of a file is noted down
 * in place of becoming a test.
 */
import { check as explore } from '@umbuf/interleave';

export { model, op } from '@umbuf/interleave';

/** What the check files have registered since the last `length = 0`: name, and a way to run. */
export const collected = (globalThis.umbufCollectedChecks ??= []);

function note(name, run) {
  collected.push({ name, run });
}

export const check = Object.assign(
  (name, scenario, options) => note(name, (o) => explore(name, scenario, { ...options, ...o })),
  {
    generators: (name, scenario, options) =>
      note(name, (o) => explore.generators(name, scenario, { ...options, ...o })),
    outcomes: (name, scenario, table, options) =>
      note(name, (o) => explore.outcomes(name, scenario, table, { ...options, ...o })),
    ops: (name, spec, options) => note(name, (o) => explore.ops(name, spec, { ...options, ...o })),
  },
);
