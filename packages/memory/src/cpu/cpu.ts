/**
 * A CPU: the number that a thread holds in an arena, with the thread's own view of its record.
 * A thread takes a number with `claimCpu` and gives it back with `releaseCpu`; a number is reused
 * only from offline, with incarnation + 1 set by the compare-exchange that takes it.
 */

import type { Arena } from '../arena.ts';
import { ArgumentError, CpuUnavailableError, LockBusyError, Panic } from '../errors.ts';
import type { Kernels } from '../kernel/index.ts';
import { CpuRecord } from '../layout/records.ts';
import { settleHand } from './hand-stack.ts';
import { answerRequests, enterCpu, leaveCpu } from './protocol.ts';
import { requireNoSection } from './section.ts';
import {
  CpuState,
  describeState,
  INCARNATION_MASK,
  packState,
  STATE_KIND_MASK,
  stateIncarnation,
} from './state.ts';

const C = CpuRecord.fields;
const STATE = C.state.at;

export interface CpuOptions {
  /**
   * False for a thread that may not sleep (Node's main thread, a browser page): lock spins are
   * bounded, `M_WAITOK` is a typed error that names `allocAsync`. True when absent.
   */
  readonly mayBlock?: boolean;
  /** Take exactly this number instead of the first that is offline. */
  readonly number?: number;
  /**
   * Leave by hand instead of by microtask: the caller calls `leaveCpu` where its job ends. For
   * checks under the schedule explorer and for loops that own their thread.
   */
  readonly manualLeave?: boolean;
}

/** The constructor only stores fields; the shared words were set by `claimCpu`. */
export class Cpu {
  readonly arena: Arena;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
  /** 0 to arena.cpus - 1. */
  readonly number: number;
  readonly incarnation: number;
  readonly mayBlock: boolean;
  /** Word index of this CPU's record, and of the words in it that hot code needs. */
  readonly base: number;
  readonly state: number;
  readonly entered: number;
  readonly sections: number;
  readonly handTop: number;
  readonly hand: number;
  /** What this CPU writes into a mutex that it holds: CPU + 1 | incarnation << 9. */
  readonly lockWord: number;
  /** False once released. Thread-local: the number may be another thread's by then. */
  online = true;
  /** Queues the microtask that leaves; undefined with `manualLeave`. */
  readonly queueLeave: (() => void) | undefined;

  constructor(arena: Arena, number: number, incarnation: number, options: CpuOptions) {
    this.arena = arena;
    this.words = arena.words;
    this.longs = arena.longs;
    this.bytes = arena.bytes;
    this.kernels = arena.kernels;
    this.number = number;
    this.incarnation = incarnation;
    this.mayBlock = options.mayBlock ?? true;
    this.base = arena.cpuTable + number * CpuRecord.words;
    this.state = this.base + STATE;
    this.entered = this.base + C.entered.at;
    this.sections = this.base + C.sections.at;
    this.handTop = this.base + C.handTop.at;
    this.hand = this.base + C.hand.at;
    this.lockWord = (number + 1) | (incarnation << 9);
    this.queueLeave = options.manualLeave ? undefined : leaveQueue(this);
  }
}

function leaveQueue(cpu: Cpu): () => void {
  const leave = (): void => leaveCpu(cpu);
  return () => queueMicrotask(leave);
}

/**
 * Takes a CPU number for the calling thread. Throws `CpuUnavailableError` when none (or not the
 * wanted one) is offline: the arena was made for fewer CPUs, or a dead one awaits `recover`.
 */
export function claimCpu(arena: Arena, options: CpuOptions = {}): Cpu {
  const { words } = arena;
  const wanted = options.number;
  if (wanted !== undefined && !(Number.isInteger(wanted) && wanted >= 0 && wanted < arena.cpus)) {
    throw new ArgumentError(`claimCpu: number ${wanted} is not from 0 to ${arena.cpus - 1}`);
  }
  const last = wanted ?? arena.cpus - 1;
  for (let number = wanted ?? 0; number <= last; number++) {
    const base = arena.cpuTable + number * CpuRecord.words;
    const seen = Atomics.load(words, base + STATE);
    if ((seen & STATE_KIND_MASK) !== CpuState.offline) continue;
    // 20 bits of incarnation; the mutex word keeps 22 bits free above the waiters bit.
    const incarnation = (stateIncarnation(seen) + 1) & INCARNATION_MASK;
    const next = packState(CpuState.idle, incarnation);
    // straight
    if (Atomics.compareExchange(words, base + STATE, seen, next) !== seen) continue;
    words[base + C.incarnation.at] = incarnation;
    words[base + C.entered.at] = 0;
    words[base + C.handTop.at] = 0;
    words[base + C.sections.at] = 0;
    // end
    return new Cpu(arena, number, incarnation, options);
  }
  throw new CpuUnavailableError(
    wanted === undefined
      ? `claimCpu: all ${arena.cpus} CPU numbers are taken`
      : `claimCpu: CPU ${wanted} is ${describeState(Atomics.load(words, arena.cpuTable + wanted * CpuRecord.words + STATE))}`,
  );
}

/**
 * Gives the number back: flushes the caches, then goes offline. The thread must not use the CPU
 * afterwards. Throws `CpuUnavailableError` when it was released already and, on a CPU with
 * `mayBlock: false`, `LockBusyError` when what it holds cannot be put back now (it stays online:
 * call again); `SectionError` inside a read section. Panics when a slow path left something in its hands.
 */
export function releaseCpu(cpu: Cpu): void {
  const { words } = cpu;
  if (!cpu.online || words[cpu.entered] === 0) enterCpu(cpu);
  requireNoSection(cpu, 'releaseCpu');
  if (!cpu.mayBlock) {
    settleHand(cpu);
    if (words[cpu.handTop] !== 0) {
      throw new LockBusyError(`CPU ${cpu.number} cannot put back what it holds: locks are busy`);
    }
  }
  const { releases } = cpu.arena.hooks;
  for (let index = 0; index < releases.length; index++) releases[index]!(cpu);
  answerRequests(cpu);
  if (words[cpu.handTop] !== 0) {
    throw new Panic(`CPU ${cpu.number} goes offline with ${words[cpu.handTop]} hand slots in use`);
  }
  const running = packState(CpuState.running, cpu.incarnation);
  const offline = packState(CpuState.offline, cpu.incarnation);
  // No second look at the requests: the caches are empty, and a drainer that reloads sees offline.
  // straight
  words[cpu.entered] = 0;
  const seen = Atomics.compareExchange(words, cpu.state, running, offline);
  Atomics.notify(words, cpu.state);
  // end
  cpu.online = false;
  if (seen !== running) throw new Panic(`CPU ${cpu.number} was ${describeState(seen)} at release`);
}
