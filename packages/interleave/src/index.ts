/**
 * `@umbuf/interleave`: explores every schedule of SharedArrayBuffer code. This entry has the plain
 * functions; `./vitest` has the same as tests, `./vite` the transform.
 */
export { check, type Check } from './check.ts';
export type { GeneratedOperation, Operations, OperationsOptions } from './generate.ts';
export { isLinearizable, type Model } from './oracle/linearizability.ts';
export { type CollectionOptions, model } from './oracle/models.ts';
export type { Race } from './oracle/race.ts';
export type { WordDeclaration, WordLookup, WordsOption } from './oracle/words.ts';
export type { CheckOptions, CrashMode, CrashOptions, Expectation } from './options.ts';
export { mergeReports } from './report/merge.ts';
export type { CheckFailure, CheckReport, ReadSource } from './report/report.ts';
export { parseReport, serializeReport } from './report/json.ts';
export type { Change, RaceReport, Trace, TraceEvent } from './report/trace.ts';
export { op } from './runtime/hand.ts';
export type { HistoryEntry } from './runtime/cpu.ts';
export type { FailureKind } from './runtime/program.ts';
export type { Op, Steps } from './runtime/protocol.ts';
export type { Call, CpuBody, CpuScript, End, Scenario } from './scenario.ts';
export type { Phase } from './search/portfolio.ts';
export type { Random } from './search/random.ts';
export type { StoredSchedule } from './search/store.ts';
