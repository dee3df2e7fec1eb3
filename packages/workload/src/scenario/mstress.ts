/**
 * mstress, after mimalloc's test: objects of many sizes in an array that is filled, partly
 * replaced and handed on; some survive the round, and some are passed to another CPU, which frees
 * them much later. Stresses reclaim of memory that another CPU allocated.
 */

import { type Address, ringPop, ringPush, RING_EMPTY } from '@umbuf/memory';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

const sizes = [32, 96, 200, 480, 1000, 3000];

interface State {
  /** Item | zone index (items are at least 8-byte aligned). */
  readonly retained: number[];
  round: number;
}

const mstress: Scenario<State> = defineScenario<State>({
  name: 'mstress',
  what: 'objects that survive rounds and are freed by other CPUs (after mimalloc)',
  zones: sizes.map((size) => ({ name: `mstress ${size}`, size })),
  ringSlots: 1024,
  start: () => ({ retained: [], round: 0 }),
  step(cpu, state) {
    const { random } = cpu;
    const transient: number[] = [];
    let operations = 0;
    for (let n = 0; n < 100; n++) {
      const item = takeOne(cpu);
      operations++;
      if (item === 0) break;
      if (random.chance(10)) state.retained.push(item);
      else transient.push(item);
    }
    // A quarter of what is retained goes: half of it to another CPU.
    for (let n = state.retained.length >> 2; n > 0; n--) {
      const at = random.below(state.retained.length);
      const item = state.retained[at]!;
      state.retained[at] = state.retained[state.retained.length - 1]!;
      state.retained.pop();
      const to = random.below(cpu.cpus);
      const passed = to !== cpu.index && ringPush(cpu.uma.words, cpu.ring(cpu.index, to), item);
      if (!passed) giveOne(cpu, item);
      operations++;
    }
    for (const item of transient) giveOne(cpu, item);
    operations += transient.length + drainRings(cpu, 200);
    state.round++;
    return operations;
  },
  finish(cpu, state) {
    for (const item of state.retained) giveOne(cpu, item);
    while (drainRings(cpu, 1000) > 0);
  },
});

function takeOne(cpu: ScenarioCpu): number {
  const index = Math.min(sizes.length - 1, cpu.random.pareto(1, 12) - 1);
  const item: Address = cpu.take(cpu.zones[index]!);
  return item === 0 ? 0 : item | index;
}

function giveOne(cpu: ScenarioCpu, item: number): void {
  cpu.give(cpu.zones[item & 7]!, item & ~7);
}

function drainRings(cpu: ScenarioCpu, most: number): number {
  let count = 0;
  for (let from = 0; from < cpu.cpus; from++) {
    if (from === cpu.index) continue;
    for (let n = 0; n < most; n++) {
      const item = ringPop(cpu.uma.words, cpu.ring(from, cpu.index));
      if (item === RING_EMPTY) break;
      cpu.zones[item & 7]!.adopt((item & ~7) as Address);
      giveOne(cpu, item);
      count++;
    }
  }
  return count;
}

export default mstress;
