/** `@umbuf/memory`: shared memory as a computer. See docs/architecture/layers.md. */

export {
  type Address,
  ARENA_BYTES_MAX,
  LINE_BYTES,
  LINE_WORDS,
  NULL,
  PAGE_SHIFT,
  PAGE_SIZE,
} from './address.ts';
export {
  Arena,
  ARENA_MAGIC,
  ARENA_VERSION,
  type ArenaHandle,
  type ArenaOptions,
  CPUS_MAX,
  DebugLevel,
  type DebugLevelName,
  DOMAINS_MAX,
  requireInteger,
} from './arena.ts';
export { claimCpu, Cpu, type CpuOptions, releaseCpu } from './cpu/cpu.ts';
export {
  type Claim,
  claimedState,
  drainCpu,
  type DrainResult,
  postRequest,
  requestDrain,
} from './cpu/drain.ts';
export {
  HandKind,
  releaseSlot,
  reserveSlot,
  settleHand,
  SLOT_DETAIL,
  SLOT_KIND,
  SLOT_MORE,
  SLOT_VALUE,
} from './cpu/hand-stack.ts';
export { type AnswerHook, ArenaHooks, type CacheRepair, type SlotRepair } from './cpu/hooks.ts';
export { answerRequests, checkpoint, enterCpu, leaveCpu } from './cpu/protocol.ts';
export { type Quiesced, QUIESCE_MS, quiesce, quiesceAsync } from './cpu/quiesce.ts';
export { hashText } from './hash.ts';
export { markDead, recover, type RecoverResult } from './cpu/recover.ts';
export { beginSection, endSection, isInSection, requireNoSection } from './cpu/section.ts';
export {
  CpuState,
  describeState,
  packState,
  STATE_KIND_MASK,
  stateBy,
  stateIncarnation,
} from './cpu/state.ts';
export * from './errors.ts';
export { checksumOf, createKernels, type Kernels } from './kernel/index.ts';
export { dumpRecord } from './layout/dump.ts';
export {
  checkLayout,
  type Field,
  fieldAt,
  fieldWords,
  type Layout,
  type WordKind,
} from './layout/layout.ts';
export { LimitRecord, WaitCell } from './layout/limit-record.ts';
export {
  ArenaHeader,
  CpuRecord,
  HAND_SLOT_WORDS,
  HAND_SLOTS,
  MutexRecord,
  PAGE_BINS,
  PageEntry,
  PagePool,
} from './layout/records.ts';
export { epochOfPage, kegOfPage, mapPages, slabOfPage, unmapPages } from './page/page-map.ts';
export { domainOfPage, poolOfPage, putPages, takePages } from './page/page-pool.ts';
export { binOf } from './page/page-run.ts';
export {
  type AsyncPageOptions,
  type AsyncPageResult,
  sleepForPagesAsync,
} from './page/page-sleep-async.ts';
export { PageSleepFailure, recoverPageWaits, sleepForPages } from './page/page-sleep.ts';
export { checkPageQueue } from './page/page-wait-check.ts';
export {
  checkPagePool,
  freePageCount,
  largestFreeRun,
  pagesInUse,
} from './page/page-statistics.ts';
export {
  lockRegistry,
  REGISTRY_LOCK,
  Root,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from './registry.ts';
export { spinHint } from './sync/backoff.ts';
export { checkLimit } from './sync/limit-check.ts';
export { recoverLimit, repairUnits } from './sync/limit-recover.ts';
export {
  type AsyncSleepOptions,
  type AsyncSleepResult,
  sleepForUnitsAsync,
} from './sync/limit-sleep-async.ts';
export {
  BUSY_RETRY_MS,
  nudgeSleepers,
  registerSleeper,
  SleepFailure,
  sleepForUnits,
  withdrawSleeper,
} from './sync/limit-sleep.ts';
export {
  LIMIT_CELLS_MAX,
  LIMIT_MAX,
  limitCount,
  limitGranted,
  limitHasSleepers,
  limitHasSleepersHint,
  limitInit,
  limitIsPressed,
  limitMax,
  limitSleepers,
  limitWords,
  releaseUnits,
  reserveUnits,
  setLimitMax,
} from './sync/limit.ts';
export { MUTEX_COLUMNS, type MutexStatistics, readMutex } from './sync/mutex-statistics.ts';
export {
  describeOwner,
  lockMutex,
  mutexOwner,
  unlockMutex,
  WAITERS,
} from './sync/mutex.ts';
export {
  REFCOUNT_ADD_MAX,
  REFCOUNT_SATURATED,
  refcountAdd,
  refcountAddMany,
  refcountInit,
  refcountLoad,
  refcountRelease,
} from './sync/refcount.ts';
export {
  initRing,
  RING_EMPTY,
  ringPop,
  ringPopMany,
  ringPush,
  ringPushMany,
  ringSize,
  ringTakeOverConsumer,
  ringTakeOverProducer,
  ringWaitNotEmpty,
  ringWaitNotFull,
} from './sync/ring.ts';
export { RING_CAPACITY_MAX, RingRecord, ringWords } from './sync/ring-layout.ts';
export {
  taggedChanges,
  taggedInit,
  taggedPop,
  taggedPush,
  taggedTop,
} from './sync/tagged-stack.ts';
