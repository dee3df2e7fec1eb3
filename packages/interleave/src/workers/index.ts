/** `@umbuf/interleave/workers`: scenarios on real workers (Node). */
export { lockstep, type LockstepOptions, type LockstepReport } from './lockstep.ts';
export type { SharedScenario } from './scenario.ts';
export { stress, type StressOptions, type StressReport, stressTable } from './stress.ts';
