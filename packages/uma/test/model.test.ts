/**
 * Random programs against the model (support/model.ts). A failing program is shrunk and printed with its
 * seed; UMBUF_SEED repeats it.
 */
import fc from 'fast-check';
import { test } from 'vitest';
import { command, Model } from './support/model.ts';

const seed = Number(process.env['UMBUF_SEED'] ?? 0x0a11);
const runs = Math.round(60 * Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2));

test.each(['none', 'checks', 'invariants'] as const)(
  `random programs agree with the model at level %s (seed ${seed})`,
  (level) => {
    const program = fc.array(command, { minLength: 5, maxLength: 60 });
    const property = fc.property(fc.constantFrom(1 << 18, 1 << 20), program, (bytes, steps) => {
      const model = new Model(level, bytes);
      for (const step of steps) model.run(step);
      model.finish();
    });
    fc.assert(property, { seed, numRuns: runs });
  },
);
