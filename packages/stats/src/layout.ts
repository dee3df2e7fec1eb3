/**
 * The record of a counter set. Its text (set name, then name and description of each counter, with
 * NUL between them) and its counters follow it. All of it but the counters is written once, before
 * the set is published, and never freed.
 */

import { checkLayout } from '@umbuf/memory';

export const CounterSetRecord = {
  name: 'counter set',
  words: 8,
  fields: {
    next: { at: 0, type: 'i32', kind: 'owned', what: 'address of the set made before, 0 = none' },
    count: { at: 1, type: 'i32', kind: 'owned', what: 'counters in the set' },
    textBytes: { at: 2, type: 'i32', kind: 'owned', what: 'bytes of text behind the record' },
    counters: {
      at: 3,
      type: 'i32',
      kind: 'owned',
      what: 'address of the lines: one of 128 bytes (16 counters) per CPU, for each 16 counters',
    },
  },
} as const;

/** 64-bit counters in the 128 bytes that one CPU writes. */
export const LINE_COUNTERS = 16;

checkLayout(CounterSetRecord);
