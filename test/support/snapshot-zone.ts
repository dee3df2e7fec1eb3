/** The zone of test/stress/snapshot.stress.test.ts, and where its control words are. */

export const snapshotZone = { name: 'snapshot', size: 48, holders: true } as const;

/** 1 ends the workers. */
export const STOP = 0;
/** Items that workers exchange. */
export const SLOTS = { at: 1, count: 31 } as const;
/** Allocations and frees of each CPU number. */
export const LEDGER = 32;
export const CONTROL_WORDS = 64;
