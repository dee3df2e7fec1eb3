/** What strategies want to know of a CPU's pending op. */
import { equals } from './access.ts';
import { type Cpu, READY } from './cpu.ts';
import type { Machine } from './machine.ts';
import { COMPARE_EXCHANGE, LOAD, NOTIFY, POINT, READ, VIEW_GET, WAIT, WAKE } from './protocol.ts';

/** Would the pending op of a CPU write, if it were performed now? (A failing CAS only reads.) */
export function wouldWrite(machine: Machine, c: number): boolean {
  const { op } = machine.cpus[c] as Cpu;
  switch (op.kind) {
    case LOAD:
    case READ:
    case VIEW_GET:
    case WAKE:
    case POINT:
      return false;
    case COMPARE_EXCHANGE:
    case WAIT:
      return op.address < 0 || equals(op.target[op.index], op.value, op.size);
    default:
      return true;
  }
}

/** Sleepers a notify of CPU c could wake first, when `notifyOrder` is 'any'; 0 or 1: no choice. */
export function picks(machine: Machine, c: number): number {
  if (machine.options.notifyOrder !== 'any') return 0;
  const { op, status } = machine.cpus[c] as Cpu;
  if (op.kind !== NOTIFY || status !== READY) return 0;
  const waiting = machine.waiters.count(op.address);
  return op.value === undefined || Number(op.value) >= waiting ? 0 : waiting;
}
