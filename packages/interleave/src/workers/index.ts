/** `@umbuf/interleave/workers`: scenarios on real workers (Node). */
export { lockstep, type LockstepReport } from './lockstep.ts';
export type { SharedScenario } from './scenario.ts';
export { stress, type StressOptions, type StressReport } from './stress.ts';
