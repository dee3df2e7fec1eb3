/**
 * What a stress scenario is. A scenario is a module whose default export is `defineScenario({...})`;
 * it is imported by every CPU, so it holds definitions and code, no state. State of one CPU is what
 * `start` returns.
 *
 * A user's own: `umbuf stress --scenario ./mine.ts`. The contract:
 * - `zones` are opened on every CPU before `start`.
 * - `step` is called again and again until the time or the operations are over. It makes a handful
 *   of operations, decides only by `cpu.random` and its own state (so that a seed repeats the
 *   sequence), and returns how many operations it made. It must not wait without a bound.
 * - every item goes through the oracle: `cpu.take(zone)` allocates and stamps, `cpu.give(zone,
 *   item)` verifies the stamp and frees; `cpu.check(zone, item)` verifies in between. A double
 *   hand-out or an overwrite is seen there. Anything else that must hold goes through
 *   `cpu.expect(condition, invariant, message)`.
 * - `finish` frees what the CPU still holds; afterwards live items must be 0.
 */

import type { Address, Cpu } from '@umbuf/memory';
import type { Uma, Zone, ZoneDefinition } from '@umbuf/uma';
import type { Random } from '../random.ts';

/** A broken invariant as `--json` prints it. */
export interface Violation {
  /** Number or name of the invariant (docs/guide/stress.md). */
  readonly invariant: string;
  readonly cpu: number;
  readonly message: string;
}

/** One CPU's side of a running scenario. */
export interface ScenarioCpu {
  readonly uma: Uma;
  /** 0 to `cpus` - 1: the CPU's place in the scenario (not its number in the arena). */
  readonly index: number;
  readonly cpus: number;
  readonly random: Random;
  /** The scenario's zones, in order of its definition. */
  readonly zones: readonly Zone[];
  /** Allocates an item and stamps it with (CPU, sequence); 0 when the zone is exhausted. */
  take(zone: Zone): Address;
  /** Stamps an item that the scenario allocated in another way than by `take`. */
  stamp(zone: Zone, item: Address): void;
  /** Verifies that the stamp is still there; reports a violation otherwise. */
  check(zone: Zone, item: number): boolean;
  /** Verifies and frees. */
  give(zone: Zone, item: number): void;
  /** Word index of the ring from CPU `from` to CPU `to` (one per ordered pair). */
  ring(from: number, to: number): number;
  /** Word index of the scenario's shared words (`sharedWords`). */
  readonly shared: number;
  /** Counts what the scenario allocated and freed by other calls than `take` and `give`. */
  count(allocs: number, frees: number): void;
  /** Reports a violation unless the condition holds; returns the condition. */
  expect(condition: boolean, invariant: string, message: string): boolean;
  /** True once the run is to end: loops of a step look at it. */
  stopping(): boolean;
}

export interface Scenario<State = unknown> {
  readonly name: string;
  /** One line for `umbuf stress --help`. */
  readonly what: string;
  readonly zones: readonly ZoneDefinition[];
  /** Slots of each ring between two CPUs, a power of two; 0 or absent: no rings. */
  readonly ringSlots?: number;
  /** Bytes of arena that the scenario wants per CPU; 16 MiB when absent. */
  readonly bytesPerCpu?: number;
  /** Words of shared memory for the scenario itself, zeroed; see `ScenarioCpu.shared`. */
  readonly sharedWords?: number;
  /** Zones of layers below that belong in the report, by name. */
  readonly watched?: readonly string[];
  /** Runs once in the supervisor, before the CPUs start, to fill the shared words. */
  setup?(cpu: Cpu, shared: number): void;
  /** Runs on every CPU and in the supervisor: attaches layers (such as mbufs) to its Uma. */
  attach?(uma: Uma): void;
  start(cpu: ScenarioCpu): State;
  step(cpu: ScenarioCpu, state: State): number;
  finish(cpu: ScenarioCpu, state: State): void;
}

/** Types a scenario; returns it as it is. */
export function defineScenario<State>(scenario: Scenario<State>): Scenario<State> {
  return scenario;
}
