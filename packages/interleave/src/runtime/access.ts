/**
 * Accesses: performed on the real memory, shown to the race detector, the spin watch and the
 * recorder. Called by the machine for the CPU whose step it is.
 */
import {
  ATOMIC_READ,
  ATOMIC_UPDATE,
  ATOMIC_WRITE,
  PLAIN_READ,
  PLAIN_WRITE,
} from '../oracle/race.ts';
import type { Machine } from './machine.ts';
import { perform } from './perform.ts';
import { BULK, COMPARE_EXCHANGE, LOAD, type Op, READ, STORE, VIEW_GET, WRITE } from './protocol.ts';

/** Is the stored element what the operand becomes when it is converted to the element type? */
export function equals(element: unknown, operand: unknown, size: number): boolean {
  if (element === operand) return true;
  if (typeof element === 'bigint') {
    return typeof operand === 'bigint' && BigInt.asIntN(64, element) === BigInt.asIntN(64, operand);
  }
  const mask = size === 4 ? -1 : (1 << (8 * size)) - 1;
  return ((Number(element) ^ Number(operand)) & mask) === 0;
}

/** An operation of `Atomics` that neither waits nor wakes. */
export function atomic(machine: Machine, c: number, op: Op): unknown {
  machine.accesses++;
  const { address, kind } = op;
  if (address < 0) return perform(op);
  machine.touched = true;
  const { target, index } = op;
  let old: unknown;
  let result: unknown;
  let wrote = true;
  let changed = false;
  if (kind === LOAD) {
    result = Atomics.load(target, index);
    old = result;
    wrote = false;
  } else if (kind === STORE) {
    old = target[index];
    result = perform(op);
    changed = !equals(old, result, op.size);
  } else {
    // All others return what was there.
    result = perform(op);
    old = result;
    if (kind !== COMPARE_EXCHANGE) changed = target[index] !== old;
    else {
      wrote = equals(old, op.value, op.size);
      changed = wrote && !equals(old, op.extra, op.size);
    }
  }
  machine.stepWrote = wrote;
  if (changed) machine.spin.changed(c, address, op.size);
  else machine.spin.unchanged(c, op);
  const { races, recorder, clock } = machine;
  if (clock.used) clock.carry(c, address, kind !== STORE, wrote);
  if (races !== null) {
    const mode = !wrote ? ATOMIC_READ : kind === STORE ? ATOMIC_WRITE : ATOMIC_UPDATE;
    races.access(c, address, op.size, mode, op.site);
    if (races.race !== null) reportRace(machine);
  }
  if (recorder !== null) recorder.access(c, op, old, target[index], result);
  return result;
}

/** An access without order: an element, a DataView, a bulk method. */
export function plain(machine: Machine, c: number, op: Op): unknown {
  machine.accesses++;
  const { kind, address } = op;
  if (address < 0) return perform(op);
  machine.touched = true;
  if (kind === BULK) return bulk(machine, c, op);
  const { races, recorder } = machine;
  const reads = kind === READ || kind === VIEW_GET;
  const old = recorder === null ? undefined : peek(op);
  let result: unknown;
  if (kind === READ) {
    result = op.target[op.index];
    machine.spin.unchanged(c, op);
  } else if (reads) {
    result = perform(op);
  } else {
    // A loop that stores what was there gets nowhere: it is going round all the same.
    const before = peek(op);
    result = perform(op);
    if (!Object.is(peek(op), before)) machine.spin.changed(c, address, op.size);
  }
  machine.plainWrote = !reads;
  if (races !== null) {
    races.access(c, address, op.size, reads ? PLAIN_READ : PLAIN_WRITE, op.site);
    if (races.race !== null) reportRace(machine);
  }
  if (recorder !== null) recorder.access(c, op, old, reads ? result : peek(op), result);
  return result;
}

function bulk(machine: Machine, c: number, op: Op): unknown {
  const { races, recorder } = machine;
  const ranges = machine.memory.ranges(op);
  // What a recorder compares: the receiver as it was, and as it is.
  const old = recorder !== null && ranges.some(({ write }) => write) ? copy(op) : undefined;
  const result = perform(op);
  machine.plainWrote = false;
  for (const { address, size, write } of ranges) {
    if (write) {
      machine.spin.changed(c, address, size);
      machine.plainWrote = true;
    }
    races?.access(c, address, size, write ? PLAIN_WRITE : PLAIN_READ, op.site);
  }
  if (races !== null && races.race !== null) reportRace(machine);
  if (recorder !== null) {
    recorder.access(c, op, old, old === undefined ? undefined : copy(op), result);
  }
  return result;
}

/** The elements of a bulk operation's receiver. */
function copy({ target }: Op): unknown {
  return target.slice();
}

/** Makes the detector's race the run's verdict. */
export function reportRace(machine: Machine): void {
  const race = machine.races?.race;
  if (race === null || race === undefined || machine.outcome !== null) return;
  machine.outcome = { kind: 'race', message: race.mixed ? 'mixed widths' : 'data race', race };
}

function peek(op: Op): unknown {
  if (op.kind === READ || op.kind === WRITE) return op.target[op.index];
  const getter = `get${op.method.slice(3)}`;
  const { args } = op;
  return op.target[getter](args[0], args[op.kind === VIEW_GET ? 1 : 2]);
}
