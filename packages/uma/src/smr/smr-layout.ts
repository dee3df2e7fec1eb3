/**
 * The records of SMR in the arena: what all share of one SMR, followed by one record per CPU. An
 * SMR lives as long as its arena. Words that different threads write stand on lines of their own.
 */

import { checkLayout } from '@umbuf/memory';

/** One per SMR; found from the root by name, never removed. */
export const SmrRecord = {
  name: 'smr',
  words: 96,
  fields: {
    next: {
      at: 0,
      type: 'i32',
      kind: 'owned',
      what: 'word index of the SMR made before, 0 = none',
    },
    increment: { at: 1, type: 'i32', kind: 'owned', what: 'SMR_SEQ_INCR: what an advance adds' },
    maxDelta: {
      at: 2,
      type: 'i32',
      kind: 'owned',
      what: 'SMR_SEQ_MAX_DELTA: largest distance of write and read sequence',
    },
    maxAdvance: {
      at: 3,
      type: 'i32',
      kind: 'owned',
      what: 'SMR_SEQ_MAX_ADVANCE: what is left of it after a wait',
    },
    name: { at: 16, type: 'i32', kind: 'owned', count: 16, what: 'UTF-8, at most 63 bytes' },
    writeSequence: { at: 32, type: 'i32', kind: 'atomic', what: 's_wr: the current sequence' },
    readSequence: {
      at: 64,
      type: 'i32',
      kind: 'atomic',
      what: 's_rd: every open section has entered at or behind it',
    },
  },
} as const;

/** One per (SMR, CPU). */
export const SmrCpuRecord = {
  name: 'smr cpu',
  words: 32,
  fields: {
    sequence: {
      at: 0,
      type: 'i32',
      kind: 'atomic',
      what: 'c_seq: the write sequence at enter, 0 = not inside a section',
    },
    awaited: {
      at: 1,
      type: 'i32',
      kind: 'hint',
      what: 'somebody sleeps on the sequence; the sleeper looks again within a millisecond',
    },
    open: { at: 2, type: 'i32', kind: 'thread-private', what: '1 inside a section' },
    advances: { at: 4, type: 'i64', kind: 'statistic', what: 'debug.smr.advance' },
    advanceWaits: { at: 6, type: 'i64', kind: 'statistic', what: 'debug.smr.advance_wait' },
    polls: { at: 8, type: 'i64', kind: 'statistic', what: 'debug.smr.poll' },
    scans: { at: 10, type: 'i64', kind: 'statistic', what: 'debug.smr.poll_scan' },
    failures: { at: 12, type: 'i64', kind: 'statistic', what: 'debug.smr.poll_fail' },
  },
} as const;

for (const layout of [SmrRecord, SmrCpuRecord]) checkLayout(layout);

/** Word index of one CPU's record of an SMR. */
export function smrCpu(smr: number, cpu: number): number {
  return smr + SmrRecord.words + cpu * SmrCpuRecord.words;
}

/** Words of an SMR for so many CPUs. */
export function smrWords(cpus: number): number {
  return SmrRecord.words + cpus * SmrCpuRecord.words;
}
