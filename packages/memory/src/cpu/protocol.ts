/**
 * Enter, leave, answer: who may touch a per-CPU cache, and when.
 *
 * A thread enters at the first allocator call of a job and leaves in a microtask behind it.
 * While it is entered (state running) its private words are its own; while it is idle another
 * CPU may claim them for one straight line. Two handshakes keep that right:
 *
 * - enter and claim both compare-exchange the state word, so only one of them wins; its acquire
 *   side orders the claimer's plain writes to the cache before ours.
 * - a drainer adds to `posted`, then looks at the state; leave stores the state, then looks at
 *   `posted` (Dekker). All four are SeqCst, so one of the two sees the other: a request cannot be
 *   left pending on a CPU that went idle without looking.
 */

import { CpuUnavailableError, LockBusyError, Panic } from '../errors.ts';
import { ArenaHeader, CpuRecord } from '../layout/records.ts';
import type { Cpu } from './cpu.ts';
import { settleHand } from './hand-stack.ts';
import type { Arena } from '../arena.ts';
import { refuseLeave } from './section.ts';
import { CpuState, describeState, packState, STATE_KIND_MASK, stateBy } from './state.ts';

const C = CpuRecord.fields;
const POSTED = C.posted.at;
const ANSWERED = C.answered.at;
const ENTERS = C.enters.at;
const ANSWERS = C.answers.at;

/** How long a CPU stands still for one that asked and does not come to its end, in milliseconds. */
const STILL_MS = 100;
const QUIESCE = ArenaHeader.fields.quiesce.at;

/** Looks at a claim before a thread that may not block gives up; a claim is under a microsecond. */
const CLAIM_LOOKS = 100_000;

/**
 * Idle to running; waits while the CPU is claimed, which is a few statements of another thread. A
 * claimer that is terminated does leave its claim behind (at the entry of the store that would end
 * it, everything moved): once it is known to be dead the claim is ended here, else by its recovery.
 * Call only when not entered. Throws `CpuUnavailableError` after `releaseCpu`, and `LockBusyError`
 * on a CPU with `mayBlock: false` whose claimer does not come to its end: its death may be an event
 * that this very thread has yet to see.
 */
export function enterCpu(cpu: Cpu): void {
  const { words, state, entered } = cpu;
  const idle = packState(CpuState.idle, cpu.incarnation);
  const running = packState(CpuState.running, cpu.incarnation);
  if (!cpu.online) throw new CpuUnavailableError(`CPU ${cpu.number} was released`);
  for (let looks = 0; ; looks++) {
    // straight
    const seen = Atomics.compareExchange(words, state, idle, running);
    if (seen === idle) words[entered] = 1;
    // end
    if (seen === idle) break;
    if ((seen & STATE_KIND_MASK) !== CpuState.claimed) {
      throw new Panic(`CPU ${cpu.number} enters while ${describeState(seen)}`);
    }
    if (claimerIsDead(cpu.arena, seen)) Atomics.compareExchange(words, state, seen, idle);
    else if (cpu.mayBlock) Atomics.wait(words, state, seen);
    else if (looks > CLAIM_LOOKS) {
      throw new LockBusyError(`CPU ${cpu.number} may not block, and is ${describeState(seen)}`);
    }
  }
  cpu.longs[(cpu.base + ENTERS) >> 1]! += 1n;
  if (cpu.queueLeave !== undefined) cpu.queueLeave();
}

/**
 * Whether the claimer that a state word names is known to be dead. Its number cannot have been
 * reused meanwhile: its recovery ends its claims before it frees the number.
 */
export function claimerIsDead(arena: Arena, seen: number): boolean {
  const by = Atomics.load(arena.words, arena.cpuTable + stateBy(seen) * CpuRecord.words);
  const kind = by & STATE_KIND_MASK;
  return kind === CpuState.dead || kind === CpuState.recovering;
}

/**
 * Running to idle, with pending requests answered. Nothing to do when not entered, or released
 * (then the words may be another thread's). What a hook throws is thrown again once the CPU is
 * idle: otherwise it would stay running for ever, since only `enterCpu` queues a leave. Throws
 * `SectionError`, and stays running, inside a read section (section.ts).
 */
export function leaveCpu(cpu: Cpu): void {
  const { words, state, entered, base } = cpu;
  if (!cpu.online || words[entered] === 0) return;
  if (words[cpu.sections] !== 0) refuseLeave(cpu);
  const idle = packState(CpuState.idle, cpu.incarnation);
  const running = packState(CpuState.running, cpu.incarnation);
  for (;;) {
    const failure = prepareLeave(cpu);
    // straight: the exchange releases our cache writes to the next claimer
    words[entered] = 0;
    const seen = Atomics.compareExchange(words, state, running, idle);
    // end
    if (seen !== running) {
      throw new Panic(
        `CPU ${cpu.number} leaves while ${describeState(seen)}: declared dead wrongly`,
      );
    }
    // The request stays posted: its drainer now finds us idle, and claims.
    if (failure instanceof LockBusyError) return;
    if (failure !== undefined) throw failure;
    // The second half of Dekker's handshake: a request posted before the exchange is seen here,
    // one posted after it finds us idle. Before the exchange this look would be useless.
    if (Atomics.load(words, base + POSTED) === Atomics.load(words, base + ANSWERED)) return;
    // straight
    const back = Atomics.compareExchange(words, state, idle, running);
    if (back === idle) words[entered] = 1;
    // end
    if (back !== idle) return; // a claimer is at work: it drains, nobody waits for our answer
  }
}

/** Settles the hand and answers what is pending; returns what was thrown. */
function prepareLeave(cpu: Cpu): unknown {
  const { words, base } = cpu;
  try {
    // A thread that may block keeps its slots: it leaves inside slow paths too, to sleep. One that
    // may not leaves only behind its jobs, where a filled slot is what a busy lock left there.
    if (!cpu.mayBlock && words[cpu.handTop] !== 0) settleHand(cpu);
    if (Atomics.load(words, base + POSTED) !== Atomics.load(words, base + ANSWERED)) {
      answerRequests(cpu);
    }
  } catch (error) {
    return error;
  }
  return undefined;
}

/**
 * Moves all cached buckets to the lists, then acknowledges every request posted before we began.
 * `posted` is read first, so that a request posted meanwhile stays pending; `answered` is stored
 * last, so that "drained" means that the drainer finds the buckets.
 */
export function answerRequests(cpu: Cpu): void {
  const { words, base, arena } = cpu;
  const ticket = Atomics.load(words, base + POSTED);
  const { answers } = arena.hooks;
  for (let index = 0; index < answers.length; index++) answers[index]!(cpu);
  Atomics.store(words, base + ANSWERED, ticket);
  Atomics.notify(words, base + ANSWERED);
  cpu.longs[(base + ANSWERS) >> 1]! += 1n;
}

/**
 * Answers pending drain requests now. For long loops, which otherwise answer at their next slow
 * path, wait or leave. Costs two atomic loads.
 */
export function checkpoint(cpu: Cpu): void {
  const { words, base } = cpu;
  if (words[cpu.entered] === 0) {
    enterCpu(cpu);
    return;
  }
  if (Atomics.load(words, base + POSTED) !== Atomics.load(words, base + ANSWERED)) {
    answerRequests(cpu);
    standStill(cpu);
  }
}

/**
 * Behind an answer: whoever asked may be one who wants all CPUs to stand still (quiesce.ts). Then this one
 * leaves and waits for the end of that, at most `STILL_MS`, as in any other wait. Inside a read section it
 * cannot leave, and on a CPU that may not block it cannot wait: it goes on, and is named.
 */
function standStill(cpu: Cpu): void {
  const { words } = cpu;
  const asker = Atomics.load(words, QUIESCE);
  if (asker === 0 || asker === cpu.lockWord || !cpu.mayBlock || words[cpu.sections] !== 0) return;
  leaveCpu(cpu);
  Atomics.wait(words, QUIESCE, asker, STILL_MS);
  enterCpu(cpu);
}
