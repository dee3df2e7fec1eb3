/**
 * larson, after the server benchmark: each CPU keeps a fixed array of items and replaces random
 * ones; after each round the array moves on to the next CPU ("bleeding"), which frees and replaces
 * what another CPU allocated.
 */

import { type Address, ringPop, ringPush, RING_EMPTY } from '@umbuf/memory';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

const sizes = [16, 64, 160, 400, 1000];
const ITEMS = 300;

interface State {
  readonly items: number[];
  round: number;
}

const larson: Scenario<State> = defineScenario<State>({
  name: 'larson',
  what: 'random replacement in arrays that move from CPU to CPU (after larson)',
  zones: sizes.map((size) => ({ name: `larson ${size}`, size })),
  ringSlots: 1024,
  start: () => ({ items: [], round: 0 }),
  step(cpu, state) {
    let operations = receive(cpu, state);
    while (state.items.length < ITEMS) {
      const item = takeOne(cpu);
      if (item === 0) break;
      state.items.push(item);
      operations++;
    }
    for (let n = 0; n < 400 && state.items.length > 0; n++) {
      const at = cpu.random.below(state.items.length);
      giveOne(cpu, state.items[at]!);
      const item = takeOne(cpu);
      operations += 2;
      if (item !== 0) {
        state.items[at] = item;
      } else {
        state.items[at] = state.items[state.items.length - 1]!;
        state.items.pop();
      }
    }
    if (++state.round % 4 === 0 && cpu.cpus > 1) passOn(cpu, state);
    return operations;
  },
  finish(cpu, state) {
    receive(cpu, state);
    for (const item of state.items) giveOne(cpu, item);
    state.items.length = 0;
  },
});

function takeOne(cpu: ScenarioCpu): number {
  const index = cpu.random.below(sizes.length);
  const item = cpu.take(cpu.zones[index]!);
  return item === 0 ? 0 : item | index;
}

function giveOne(cpu: ScenarioCpu, item: number): void {
  cpu.give(cpu.zones[item & 7]!, item & ~7);
}

/** The whole array to the next CPU, as far as its ring has room. */
function passOn(cpu: ScenarioCpu, state: State): void {
  const ring = cpu.ring(cpu.index, (cpu.index + 1) % cpu.cpus);
  while (state.items.length > 0 && ringPush(cpu.uma.words, ring, state.items.at(-1)!)) {
    state.items.pop();
  }
}

function receive(cpu: ScenarioCpu, state: State): number {
  if (cpu.cpus === 1) return 0;
  const ring = cpu.ring((cpu.index + cpu.cpus - 1) % cpu.cpus, cpu.index);
  let count = 0;
  for (;;) {
    const item = ringPop(cpu.uma.words, ring);
    if (item === RING_EMPTY) return count;
    cpu.zones[item & 7]!.adopt((item & ~7) as Address);
    state.items.push(item);
    count++;
  }
}

export default larson;
