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

export function atomic(machine: Machine, c: number, op: Op): unknown {
  const { target, index, address, kind } = op;
  machine.accesses++;
  if (address < 0) return perform(op);
  machine.touched = true;
  const old = target[index];
  const result = perform(op);
  const now = target[index];
  const wrote = kind !== LOAD && (kind !== COMPARE_EXCHANGE || equals(old, op.value, op.size));
  machine.stepWrote = wrote;
  if (now !== old) machine.spin.changed(c, address, op.size);
  else machine.spin.unchanged(c, op);
  if (machine.races !== null) {
    const mode = !wrote ? ATOMIC_READ : kind === STORE ? ATOMIC_WRITE : ATOMIC_UPDATE;
    machine.races.access(c, address, op.size, mode, op.site);
    if (machine.races.race !== null) machine.reportRace();
  }
  if (machine.recorder !== null) machine.recorder.access(c, op, old, now, result);
  return result;
}

export function plain(machine: Machine, c: number, op: Op): unknown {
  machine.accesses++;
  const { kind, address } = op;
  const { races } = machine;
  if (address < 0) return perform(op);
  machine.touched = true;
  if (kind === BULK) return bulk(machine, c, op);
  const reads = kind === READ || kind === VIEW_GET;
  const old = machine.recorder !== null || kind === WRITE ? peek(op) : undefined;
  const result = perform(op);
  machine.stepWrote = !reads;
  if (!reads) machine.spin.changed(c, address, op.size);
  else if (kind === READ) machine.spin.unchanged(c, op);
  if (races !== null) {
    races.access(c, address, op.size, reads ? PLAIN_READ : PLAIN_WRITE, op.site);
    if (races.race !== null) machine.reportRace();
  }
  if (machine.recorder !== null) {
    machine.recorder.access(c, op, old, reads ? result : peek(op), result);
  }
  return result;
}

function bulk(machine: Machine, c: number, op: Op): unknown {
  const ranges = machine.memory.ranges(op);
  // What a recorder compares: the receiver as it was, and as it is.
  const old = machine.recorder !== null && ranges.some(({ write }) => write) ? copy(op) : undefined;
  const result = perform(op);
  for (const { address, size, write } of ranges) {
    if (write) {
      machine.spin.changed(c, address, size);
      machine.stepWrote = true;
    }
    machine.races?.access(c, address, size, write ? PLAIN_WRITE : PLAIN_READ, op.site);
  }
  if (machine.races !== null && machine.races.race !== null) machine.reportRace();
  if (machine.recorder !== null) {
    machine.recorder.access(c, op, old, old === undefined ? undefined : copy(op), result);
  }
  return result;
}

/** The elements of a bulk operation's receiver. */
function copy({ target }: Op): unknown {
  return target.slice();
}

function peek(op: Op): unknown {
  if (op.kind === READ || op.kind === WRITE) return op.target[op.index];
  const getter = `get${op.method.slice(3)}`;
  const { args } = op;
  return op.target[getter](args[0], args[op.kind === VIEW_GET ? 1 : 2]);
}
