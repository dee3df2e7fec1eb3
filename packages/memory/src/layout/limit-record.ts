/**
 * The record of a limit (a zone's `uz_items`) and of its wait cells. The cells follow the record;
 * how many there are is chosen when the limit is made. `items` and `sleepersHint` stand on lines
 * of their own: every reservation writes the one, every free reads the other.
 */

import { checkLayout } from './layout.ts';

export const LimitRecord = {
  name: 'limit',
  words: 96,
  fields: {
    lock: { at: 0, type: 'i32', kind: 'atomic', count: 16, what: 'mutex of the queue' },
    head: { at: 16, type: 'i32', kind: 'locked', what: 'cell of the first sleeper, 0 = none' },
    tail: { at: 17, type: 'i32', kind: 'locked', what: 'cell of the last sleeper, 0 = none' },
    cells: { at: 18, type: 'i32', kind: 'owned', what: 'number of wait cells, never changes' },
    sleeps: {
      at: 20,
      type: 'i64',
      kind: 'statistic',
      what: 'uz_sleeps: requests that registered to sleep (written under the lock)',
    },
    timeouts: {
      at: 22,
      type: 'i64',
      kind: 'statistic',
      what: 'sleepers that gave up or were aborted (written under the lock that reaps them)',
    },
    tableFull: {
      at: 24,
      type: 'i64',
      kind: 'statistic',
      what: 'requests that found no free cell (written under the lock)',
    },
    items: {
      at: 32,
      type: 'i32',
      kind: 'atomic',
      what: 'bits 0-29: units taken; bit 30: sleepers exist',
    },
    max: {
      at: 33,
      type: 'i32',
      kind: 'atomic',
      what: 'uz_max_items; stored under the lock, loaded by anyone',
    },
    sleepersHint: {
      at: 64,
      type: 'i32',
      kind: 'hint',
      what: 'uz_sleepers: 1 while sleepers exist; a free that misses it is found by leave',
    },
  },
} as const;

/** One sleeper. `state` is the word that its thread sleeps on. */
export const WaitCell = {
  name: 'wait cell',
  words: 8,
  fields: {
    state: { at: 0, type: 'i32', kind: 'atomic', what: 'free, waiting, abandoned or granted k' },
    owner: {
      at: 1,
      type: 'i32',
      kind: 'locked',
      what: 'CPU + 1 | incarnation << 9 of the sleeper',
    },
    wanted: { at: 2, type: 'i32', kind: 'locked', what: 'units that the sleeper asked for' },
    next: { at: 3, type: 'i32', kind: 'locked', what: 'cell of the next sleeper, 0 = last' },
  },
} as const;

for (const layout of [LimitRecord, WaitCell]) checkLayout(layout);
