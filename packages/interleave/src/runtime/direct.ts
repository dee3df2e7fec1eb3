/**
 * Code outside any CPU (set-up, invariants, final checks) and code of a CPU that cannot be suspended
 * (a callback of a built-in): its ops are performed at once.
 */
import { atomic, plain } from './access.ts';
import type { Machine } from './machine.ts';
import { Generator, host } from './ops.ts';
import { perform } from './perform.ts';
import { NOTIFY, type Op, PAUSE, type Steps, WAIT, WAIT_ASYNC } from './protocol.ts';
import { notify } from './waiting.ts';

/** Runs what a function returned to its end, outside any CPU; its result. */
export function runDirectly(machine: Machine, value: unknown): any {
  if (!(value instanceof Generator)) return value;
  const { current } = host;
  const { running } = machine;
  machine.running = -1;
  host.current = machine.direct;
  try {
    const generator = value as Steps;
    let step = generator.next();
    while (step.done !== true) {
      let result: unknown;
      try {
        result = performNow(machine, step.value);
      } catch (error) {
        step = generator.throw(error);
        continue;
      }
      step = generator.next(result);
    }
    return step.value;
  } finally {
    host.current = current;
    machine.running = running;
  }
}

/** Performs an op at once, as part of the running CPU's step if there is one. */
export function performNow(machine: Machine, op: Op): unknown {
  if (op.kind >= PAUSE) return undefined;
  if (op.kind === WAIT || op.kind === WAIT_ASYNC) {
    const equal = Atomics.load(op.target, op.index) === op.value;
    if (equal) throw new Error('interleave: Atomics.wait would block where nothing can run');
    return op.kind === WAIT ? 'not-equal' : { async: false, value: 'not-equal' };
  }
  const c = machine.running;
  if (c < 0) return op.kind === NOTIFY ? 0 : perform(op);
  machine.memory.resolve(op);
  if (op.kind === NOTIFY) return notify(machine, c, op, 0);
  return op.kind < WAIT ? atomic(machine, c, op) : plain(machine, c, op);
}
