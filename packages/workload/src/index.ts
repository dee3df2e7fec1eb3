/** `@umbuf/workload`: scenarios, capture readers, the packet pipeline. */

export { readArenaFile, writeArenaFile } from './arena-file.ts';
export * from './capture/index.ts';
export * from './pipeline/index.ts';
export { Random } from './random.ts';
export {
  defineScenario,
  type Scenario,
  type ScenarioCpu,
  type Violation,
} from './scenario/scenario.ts';
export { type FaultName, faults } from './stress/faults.ts';
export { loadScenario, ScenarioError, scenarioNames } from './stress/load-scenario.ts';
export { reportOf, runStress, type StressOptions, type StressReport } from './stress/run.ts';
export { type SampleOptions, sampleRun } from './stress/sample.ts';
export { selfCheck, type SelfCheckResult } from './stress/self-check.ts';
export {
  type RunOptions,
  type RunOutcome,
  type SessionOptions,
  StressSession,
} from './stress/session.ts';
export type { StressProgress } from './stress/watch.ts';
export type { Program } from './vectors/recorded-run.ts';
export {
  readVectors,
  runVectors,
  type VectorFailure,
  VectorFileError,
  type VectorReport,
} from './vectors/run-vectors.ts';
