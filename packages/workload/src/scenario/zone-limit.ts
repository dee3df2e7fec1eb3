/**
 * zone-limit: every CPU allocates from zones at their limits, with M_WAITOK, bounded and not at all,
 * and frees. Whoever waits for long holds nothing, so that nobody waits in a circle: then a wait that
 * is over while an item is free is a lost wake-up. Finds what goes wrong between frees, caches, the
 * keg and the sleepers.
 */

import type { Address } from '@umbuf/memory';
import { M_WAITOK, type Zone, ZoneFlag } from '@umbuf/uma';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

interface Held {
  readonly zone: Zone;
  readonly item: Address;
}

interface State {
  readonly held: Held[];
}

/** Items per zone: a few for each CPU to cache, one for each to hold, fewer than CPUs. */
const limits: readonly ((cpus: number) => number)[] = [
  (cpus) => 12 * cpus,
  (cpus) => 4 * cpus,
  (cpus) => Math.max(1, cpus - 1),
];

const HELD_MAX = 12;
/** Longer than any holder keeps an item, by far. */
const LONG_MS = 2000;
/** Shorter than that, so that some give up. */
const SHORT_MS = 1;

const zoneLimit: Scenario<State> = defineScenario<State>({
  name: 'zone-limit',
  what: 'zones at their limits: sleeping for items, bounded waits, frees past the caches',
  zones: [
    { name: 'zone-limit cached', size: 64 },
    { name: 'zone-limit small', size: 300 },
    { name: 'zone-limit tight', size: 1024, flags: ZoneFlag.NOBUCKET },
  ],
  start(cpu) {
    cpu.zones.forEach((zone, index) => {
      if (zone.getMax() === 0) zone.setMax(limits[index]!(cpu.cpus));
    });
    return { held: [] };
  },
  step(cpu, state) {
    const { random } = cpu;
    if (state.held.length === HELD_MAX || random.below(3) === 0) return giveAll(cpu, state);
    const zone = cpu.zones[random.below(cpu.zones.length)]!;
    const way = random.below(3);
    let item: Address;
    let operations = 1;
    if (way === 0) {
      item = cpu.take(zone);
    } else if (way === 1) {
      item = zone.allocWait(M_WAITOK, { timeoutMs: SHORT_MS }).item;
      if (item !== 0) cpu.stamp(zone, item);
    } else {
      operations += giveAll(cpu, state);
      item = waitLong(cpu, zone);
    }
    if (item !== 0) state.held.push({ zone, item });
    const { items, max } = zone.limitStatistics();
    cpu.expect(items <= max, '6: limit', `zone ${zone.name}: ${items} items out of ${max}`);
    return operations;
  },
  finish(cpu, state) {
    giveAll(cpu, state);
  },
});

function waitLong(cpu: ScenarioCpu, zone: Zone): Address {
  const { item, failure } = zone.allocWait(M_WAITOK, { timeoutMs: LONG_MS });
  if (item !== 0) {
    cpu.stamp(zone, item);
    return item;
  }
  const { items, max } = zone.limitStatistics();
  cpu.expect(
    failure === 'timeout' && items >= max,
    '7: sleepers',
    `zone ${zone.name}: a wait of ${LONG_MS} ms ended by ${failure}, ${items} of ${max} items out`,
  );
  return item;
}

function giveAll(cpu: ScenarioCpu, state: State): number {
  const count = state.held.length;
  for (const { zone, item } of state.held) cpu.give(zone, item);
  state.held.length = 0;
  return count + 1;
}

export default zoneLimit;
