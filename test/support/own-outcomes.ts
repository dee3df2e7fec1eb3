/** Outcomes of test/fixtures/own-scenarios.ts; one that is not listed is forbidden. */
import type { Expectation } from '@umbuf/interleave';

type Table = Readonly<Record<string, Expectation>>;

export const OUTCOMES: Readonly<Record<'taggedStack' | 'refcount' | 'ring' | 'mutex', Table>> = {
  taggedStack: { '2 held': 'acceptable', '3 held': 'interesting' },
  refcount: {
    'a was the last': 'acceptable',
    'b was the last': 'acceptable',
    'c was the last': 'acceptable',
  },
  ring: {
    'in order': 'acceptable',
    'in order, it was empty': 'acceptable',
    'in order, the ring was full': 'acceptable',
    'in order, it was empty, the ring was full': 'interesting',
  },
  mutex: { 'nobody slept': 'acceptable', 'a CPU slept': 'interesting' },
};
