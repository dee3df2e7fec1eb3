/**
 * The scenarios that also run on real workers (test/fixtures/own-scenarios.ts), explored: their tables of
 * outcomes here are those that stress has to keep to.
 */
import { check } from '@umbuf/interleave/vitest';
import { mutex, refcount, ring, taggedStack } from '../fixtures/own-scenarios.ts';
import { OUTCOMES } from '../support/own-outcomes.ts';
import { BUDGET_MS } from './support/arena.ts';

for (const [name, scenario] of Object.entries({ taggedStack, refcount, ring, mutex })) {
  check.outcomes(
    `everywhere: ${name}`,
    scenario as never,
    OUTCOMES[name as keyof typeof OUTCOMES],
    {
      budgetMs: BUDGET_MS,
    },
  );
}
