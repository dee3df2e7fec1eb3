/**
 * Every call site of a step that can fail is made to fail, in random programs against the model: after
 * it the invariants hold, nothing is lost, and every item can be freed. Sites that no program hits are
 * printed, and there may be none.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FailureSite, type FailureSiteName, injectFailures } from '../src/index.ts';
import { command, type Command, InjectedError, Model } from './support/model.ts';

const seed = Number(process.env['UMBUF_SEED'] ?? 0x1fa11);
const effort = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) / 2;
const names = Object.keys(FailureSite) as FailureSiteName[];
/** Where a callback stands, which may throw. */
const THROWING: ReadonlySet<FailureSiteName> = new Set([
  'init',
  'fillZinit',
  'itemZinit',
  'ctorAlone',
  'ctor',
]);

/** Which hits of the site fail: one, or every so many. */
interface Plan {
  readonly first: number;
  readonly every: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  first: fc.constantFrom(0, 0, 0, 1, 2, 5, 15),
  every: fc.constantFrom(0, 1, 2, 7),
});

/** Runs a program in which the site fails as planned; returns hits and failures. */
function run(
  name: FailureSiteName,
  steps: readonly Command[],
  { first, every }: Plan,
  throws: boolean,
  level: 'none' | 'checks' | 'invariants',
): { readonly hits: number; readonly failures: number } {
  let hits = 0;
  let failures = 0;
  const model = new Model(level, 1 << 19);
  const inject = (): void => {
    for (const uma of model.umas) {
      injectFailures(uma, (site) => {
        if (site !== FailureSite[name]) return false;
        const past = hits++ - first;
        if (past !== 0 && (past < 0 || every === 0 || past % every !== 0)) return false;
        failures++;
        if (throws) throw new InjectedError(name);
        return true;
      });
    }
  };
  for (const step of [...FIRST, ...steps]) {
    inject();
    model.run(step);
    model.check();
  }
  for (const uma of model.umas) injectFailures(uma, undefined);
  model.finish();
  return { hits, failures };
}

/** So that every program exhausts a limit, and has used each zone. */
const FIRST: readonly Command[] = [
  { kind: 'max', cpu: 0, max: 30 },
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map((zone): Command => {
    return { kind: 'alloc', cpu: 0, zone, count: zone === 7 ? 35 : 3, zero: false, refuse: false };
  }),
];

const missed: string[] = [];

test.each(names)(`site %s fails and nothing is lost (seed ${seed})`, (name) => {
  let failures = 0;
  const modes = THROWING.has(name) ? [false, true] : [false];
  for (const throws of modes) {
    const property = fc.property(
      fc.constantFrom('none' as const, 'checks' as const, 'invariants' as const),
      plan,
      fc.array(command, { minLength: 8, maxLength: 25 }),
      (level, planned, steps) => {
        failures += run(name, steps, planned, throws, level).failures;
      },
    );
    fc.assert(property, { seed, numRuns: Math.round(12 * effort) });
  }
  if (failures === 0) missed.push(name);
});

test('no site was missed', () => {
  expect(missed).toEqual([]);
});
