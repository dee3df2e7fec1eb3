/**
 * churn: random sizes and lifetimes on every CPU, nothing shared but the allocator. Finds what goes
 * wrong in refill, flush, slab lists and page runs.
 */

import type { Address } from '@umbuf/memory';
import { type Zone, ZoneFlag } from '@umbuf/uma';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

const sizes = [16, 64, 100, 256, 512, 1360, 2048, 4096, 9216, 16384];

interface Held {
  readonly zone: Zone;
  readonly item: Address;
}

interface State {
  readonly held: Held[];
  /** How many items to hold: wanders, so that caches fill and run empty. */
  target: number;
}

const HELD_MAX = 400;

const churn: Scenario<State> = defineScenario<State>({
  name: 'churn',
  what: 'random sizes and lifetimes on every CPU',
  zones: sizes.map((size) => ({
    name: `churn ${size}`,
    size,
    flags: size > 4096 ? ZoneFlag.CONTIG : 0,
  })),
  bytesPerCpu: 24 << 20,
  start: () => ({ held: [], target: 100 }),
  step(cpu, state) {
    const { random } = cpu;
    if (random.chance(1)) state.target = random.below(HELD_MAX);
    if (state.held.length < state.target) return allocSome(cpu, state);
    return freeSome(cpu, state);
  },
  finish(cpu, state) {
    for (const { zone, item } of state.held) cpu.give(zone, item);
    state.held.length = 0;
  },
});

function allocSome(cpu: ScenarioCpu, state: State): number {
  const count = 1 + cpu.random.below(16);
  const zone = cpu.zones[Math.min(sizes.length - 1, cpu.random.pareto(1, 40) - 1)]!;
  for (let n = 0; n < count; n++) {
    const item = cpu.take(zone);
    if (item !== 0) state.held.push({ zone, item });
  }
  return count;
}

function freeSome(cpu: ScenarioCpu, state: State): number {
  const count = Math.min(state.held.length, 1 + cpu.random.below(16));
  for (let n = 0; n < count; n++) {
    const at = cpu.random.below(state.held.length);
    const { zone, item } = state.held[at]!;
    state.held[at] = state.held[state.held.length - 1]!;
    state.held.pop();
    cpu.give(zone, item);
  }
  return Math.max(1, count);
}

export default churn;
