/**
 * limit: CPUs compete for a few units of a limit and sleep for them, bounded. A sleep that times
 * out while units are free is a lost wake-up. Used by `--self-check`, and on its own a stress of
 * the wait cells.
 */

import {
  HandKind,
  limitCount,
  limitInit,
  limitMax,
  limitWords,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  sleepForUnits,
} from '@umbuf/memory';
import { defineScenario, type Scenario } from './scenario.ts';

const UNITS = 1;
const CELLS = 64;
/** Longer than any holder keeps a unit, by far. */
const SLEEP_MS = 1000;

export interface LimitState {
  /** Gives the unit in hand slot `slot` back; the self-check replaces it by one that wakes nobody. */
  release: (slot: number) => void;
}

const limit: Scenario<LimitState> = defineScenario<LimitState>({
  name: 'limit',
  what: 'sleeping for the units of a limit',
  zones: [],
  sharedWords: limitWords(CELLS),
  setup: (cpu, shared) => limitInit(cpu, shared, UNITS, CELLS),
  start: (cpu) => ({
    release: (slot) => releaseUnits(cpu.uma.cpu, cpu.shared, 1, slot),
  }),
  step(own, state) {
    const { cpu } = own.uma;
    const slot = reserveSlot(cpu);
    let units = reserveUnits(cpu, own.shared, 1, slot);
    if (units === 0) units = sleepForUnits(cpu, own.shared, 1, slot, SLEEP_MS);
    if (units > 0) {
      own.count(1, 0);
      const count = limitCount(cpu, own.shared);
      own.expect(count <= UNITS, '6: limit', `${count} units out of ${UNITS}`);
      spin(own.random.below(200));
      state.release(slot);
      own.count(0, 1);
    } else {
      const free = limitMax(cpu, own.shared) - limitCount(cpu, own.shared);
      own.expect(free <= 0, '7: sleepers', `slept ${SLEEP_MS} ms with ${free} units free`);
    }
    own.uma.words[slot] = HandKind.none;
    releaseSlot(cpu, slot);
    return 1;
  },
  finish() {},
});

function spin(count: number): void {
  for (let n = 0; n < count; n++) Math.imul(n, n);
}

export default limit;
