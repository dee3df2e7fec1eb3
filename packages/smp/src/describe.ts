/**
 * What every CPU of an arena is doing, read from shared memory alone: for watchdogs, when a worker
 * does not answer. Other threads' words are read while they write them, so a line may be of two
 * moments; it is for people. Loads are `Atomics.load`: they tear nothing and decide nothing.
 */

import {
  type Arena,
  CpuRecord,
  CpuState,
  describeOwner,
  describeState,
  HAND_SLOT_WORDS,
  HAND_SLOTS,
  HandKind,
  MutexRecord,
  mutexOwner,
  STATE_KIND_MASK,
  stateIncarnation,
} from '@umbuf/memory';

export interface HandSlot {
  /** Number of the kind; `memory` has 1-15, uma 16-31, mbuf 32-47. */
  readonly kind: number;
  /** `lock`, `pages`, `units`, `lockSleep`, or `kind 18` for what a layer above put there. */
  readonly name: string;
  readonly value: number;
  readonly detail: number;
}

export interface CpuDescription {
  readonly number: number;
  /** `running (incarnation 3)`. */
  readonly state: string;
  readonly incarnation: number;
  readonly online: boolean;
  /** Inside a job that uses the allocator. */
  readonly entered: boolean;
  /** Times it entered, and operations that its task counted (0 when it counts none). */
  readonly enters: bigint;
  readonly progress: bigint;
  /** Drain requests posted and not answered. */
  readonly requests: number;
  /** Void slots left out; the innermost operation last. */
  readonly hand: readonly HandSlot[];
  /** The mutex that it waits for, by address, and who has it. */
  readonly waitsFor: { readonly mutex: number; readonly owner: string } | undefined;
}

const C = CpuRecord.fields;

/** One record per CPU number of the arena. */
export function readCpus(arena: Arena): CpuDescription[] {
  return Array.from({ length: arena.cpus }, (_, number) => readCpu(arena, number));
}

/** One CPU; `number` is 0 to arena.cpus - 1. */
export function readCpu(arena: Arena, number: number): CpuDescription {
  const { words, longs } = arena;
  const base = arena.cpuTable + number * CpuRecord.words;
  const state = Atomics.load(words, base);
  const kind = state & STATE_KIND_MASK;
  const hand = kind === CpuState.offline ? [] : readHand(arena, base);
  return {
    number,
    state: describeState(state),
    incarnation: stateIncarnation(state),
    online: kind !== CpuState.offline && kind !== CpuState.dead && kind !== CpuState.recovering,
    entered: Atomics.load(words, base + C.entered.at) !== 0,
    enters: Atomics.load(longs, (base + C.enters.at) >> 1),
    progress: Atomics.load(longs, (base + C.progress.at) >> 1),
    requests:
      (Atomics.load(words, base + C.posted.at) - Atomics.load(words, base + C.answered.at)) | 0,
    hand,
    waitsFor: mutexWaitedFor(arena, number, hand),
  };
}

/** A line per CPU that was ever online, for reports. */
export function describeCpus(arena: Arena): string {
  return readCpus(arena)
    .filter((cpu) => cpu.incarnation > 0)
    .map(describeCpu)
    .join('\n');
}

function describeCpu(cpu: CpuDescription): string {
  const parts = [`CPU ${cpu.number}: ${cpu.state}`];
  if (cpu.entered) parts.push('entered');
  parts.push(`progress ${cpu.progress}`, `enters ${cpu.enters}`);
  if (cpu.requests !== 0) parts.push(`${cpu.requests} drain requests unanswered`);
  if (cpu.hand.length > 0) {
    parts.push(`hand [${cpu.hand.map((slot) => `${slot.name} ${slot.value}`).join(', ')}]`);
  }
  if (cpu.waitsFor !== undefined) {
    parts.push(`waits for mutex ${cpu.waitsFor.mutex} of ${cpu.waitsFor.owner}`);
  }
  return parts.join(', ');
}

const NAMES = new Map<number, string>(Object.entries(HandKind).map(([name, kind]) => [kind, name]));

function readHand(arena: Arena, base: number): HandSlot[] {
  const { words } = arena;
  const top = Math.min(Math.max(Atomics.load(words, base + C.handTop.at), 0), HAND_SLOTS);
  const slots: HandSlot[] = [];
  for (let index = 0; index < top; index++) {
    const slot = base + C.hand.at + index * HAND_SLOT_WORDS;
    const kind = Atomics.load(words, slot);
    if (kind === HandKind.none) continue;
    slots.push({
      kind,
      name: NAMES.get(kind) ?? `kind ${kind}`,
      value: Atomics.load(words, slot + 1),
      detail: Atomics.load(words, slot + 2),
    });
  }
  return slots;
}

/** A lock slot says "holding or waiting"; the mutex itself says which. */
function mutexWaitedFor(
  arena: Arena,
  number: number,
  hand: readonly HandSlot[],
): CpuDescription['waitsFor'] {
  const last = hand.findLast(
    (slot) => slot.kind === HandKind.lock || slot.kind === HandKind.lockSleep,
  );
  if (last === undefined || last.value < 0 || last.value >= arena.words.length) return undefined;
  const word = Atomics.load(arena.words, last.value + MutexRecord.fields.word.at);
  if (mutexOwner(word) === number) return undefined;
  return { mutex: last.value * 4, owner: describeOwner(word) };
}
