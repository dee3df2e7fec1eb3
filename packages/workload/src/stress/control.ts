/**
 * The shared control block of a run: stop word, a barrier, and a ring per ordered pair of CPUs.
 * Made by the supervisor in a static record, before the CPUs start.
 */

import {
  type Cpu,
  enterCpu,
  initRing,
  lockRegistry,
  RING_CAPACITY_MAX,
  ringWords,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from '@umbuf/memory';

const STOP = 0;
const ARRIVED = 32;
const GENERATION = 33;
const CONTROL_WORDS = 64;

/** What a CPU needs to find the block; plain numbers, so it goes through messages. */
export interface ControlBlock {
  readonly at: number;
  readonly cpus: number;
  /** Word index of ring 0 and words from one to the next; 0 without rings. */
  readonly rings: number;
  readonly ringStride: number;
  readonly ringSlots: number;
  /** Word index of the scenario's own shared words. */
  readonly shared: number;
  readonly sharedWords: number;
}

/** Room for the rings and shared words of every scenario that will use the block. */
export interface ControlSize {
  readonly cpus: number;
  /** Slots per ring, a power of two; 0: no rings. */
  readonly ringSlots: number;
  readonly sharedWords: number;
}

/** Makes the block in a static record, for good. Throws when the arena has no room for it. */
export function createControl(cpu: Cpu, size: ControlSize): ControlBlock {
  const { cpus, ringSlots, sharedWords } = size;
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  if (ringSlots > RING_CAPACITY_MAX) throw new Error(`rings of ${ringSlots} slots are too large`);
  const stride = ringSlots === 0 ? 0 : (ringWords(ringSlots) + 31) & ~31;
  const shared = CONTROL_WORDS + stride * cpus * cpus;
  const words = shared + ((sharedWords + 31) & ~31);
  lockRegistry(cpu);
  const address = staticSpace(cpu, words * 4);
  if (address !== 0) cpu.words[STATIC_NEXT] = address + words * 4;
  unlockRegistry(cpu);
  if (address === 0) throw new Error('the arena has no room for the control block');
  const at = address >> 2;
  return {
    at,
    cpus,
    rings: stride === 0 ? 0 : at + CONTROL_WORDS,
    ringStride: stride,
    ringSlots,
    shared: at + shared,
    sharedWords,
  };
}

/** Makes the block new for another run. No CPU may be using it. */
export function resetControl(words: Int32Array<SharedArrayBuffer>, control: ControlBlock): void {
  Atomics.store(words, control.at + STOP, 0);
  Atomics.store(words, control.at + ARRIVED, 0);
  words.fill(0, control.shared, control.shared + control.sharedWords);
  if (control.rings === 0) return;
  for (let ring = 0; ring < control.cpus * control.cpus; ring++) {
    initRing(words, control.rings + ring * control.ringStride, control.ringSlots);
  }
}

export function requestStop(words: Int32Array<SharedArrayBuffer>, control: ControlBlock): void {
  Atomics.store(words, control.at + STOP, 1);
}

export function stopRequested(
  words: Int32Array<SharedArrayBuffer>,
  control: ControlBlock,
): boolean {
  return Atomics.load(words, control.at + STOP) !== 0;
}

/**
 * Waits until all CPUs of the run have arrived; false after `timeoutMs`. The generation is read
 * before arriving, so the last one's advance cannot be missed.
 */
export function arriveAndWait(
  words: Int32Array<SharedArrayBuffer>,
  control: ControlBlock,
  timeoutMs: number,
): boolean {
  const generation = Atomics.load(words, control.at + GENERATION);
  if (Atomics.add(words, control.at + ARRIVED, 1) + 1 === control.cpus) {
    Atomics.store(words, control.at + ARRIVED, 0);
    Atomics.add(words, control.at + GENERATION, 1);
    Atomics.notify(words, control.at + GENERATION);
    return true;
  }
  const deadline = performance.now() + timeoutMs;
  while (Atomics.load(words, control.at + GENERATION) === generation) {
    const left = deadline - performance.now();
    if (left <= 0) return false;
    Atomics.wait(words, control.at + GENERATION, generation, left);
  }
  return true;
}
