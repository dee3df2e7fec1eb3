/**
 * producer-consumer: allocated here, freed there, through a ring per pair of CPUs. What one CPU
 * frees is what another allocated, so buckets travel through the zone's queue all the time.
 */

import { ringPop, ringPush, RING_EMPTY } from '@umbuf/memory';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

interface State {
  next: number;
}

const producerConsumer: Scenario<State> = defineScenario<State>({
  name: 'producer-consumer',
  what: 'allocated here, freed there, through rings',
  zones: [
    { name: 'message', size: 128 },
    { name: 'payload', size: 2048 },
  ],
  ringSlots: 256,
  start: () => ({ next: 0 }),
  step(cpu, state) {
    let operations = 1;
    if (cpu.cpus === 1) {
      const zone = cpu.zones[cpu.random.below(2)]!;
      const item = cpu.take(zone);
      if (item !== 0) cpu.give(zone, item);
      return 2;
    }
    const count = 1 + cpu.random.below(32);
    const kind = cpu.random.below(2);
    state.next = (state.next + 1 + cpu.random.below(cpu.cpus)) % cpu.cpus;
    const to = state.next === cpu.index ? (cpu.index + 1) % cpu.cpus : state.next;
    operations += produce(cpu, to, kind, count);
    for (let from = 0; from < cpu.cpus; from++) {
      if (from !== cpu.index) operations += consume(cpu, from, 64);
    }
    return operations;
  },
  finish(cpu) {
    for (let from = 0; from < cpu.cpus; from++) {
      if (from !== cpu.index) while (consume(cpu, from, 64) > 0);
    }
  },
});

/** The low bit of a message says which zone the item is of: items are at least 8-byte aligned. */
function produce(cpu: ScenarioCpu, to: number, kind: number, count: number): number {
  const { words } = cpu.uma;
  const ring = cpu.ring(cpu.index, to);
  const zone = cpu.zones[kind]!;
  for (let n = 0; n < count; n++) {
    const item = cpu.take(zone);
    if (item === 0) return n;
    if (!ringPush(words, ring, item | kind)) {
      cpu.give(zone, item); // the ring is full: the consumer is slow, drop it here
      return n + 1;
    }
  }
  return count;
}

function consume(cpu: ScenarioCpu, from: number, most: number): number {
  const { words } = cpu.uma;
  const ring = cpu.ring(from, cpu.index);
  for (let n = 0; n < most; n++) {
    const message = ringPop(words, ring);
    if (message === RING_EMPTY) return n;
    const zone = cpu.zones[message & 1]!;
    zone.adopt((message & ~1) as never);
    cpu.give(zone, message & ~1);
  }
  return most;
}

export default producerConsumer;
