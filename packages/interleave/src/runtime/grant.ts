/**
 * A step: a granted CPU performs its pending op and runs on to its next scheduling point. Either
 * `step` resumes suspended code, or `arrive` goes on with code that never stopped; both begin and end
 * a step here. Called by the machine.
 */
import { atomic, plain } from './access.ts';
import { ACCESS_LIMIT } from './arrive.ts';
import { CPU_MASK, DIE, PICK_SHIFT, UNDECIDED } from './choice.ts';
import { type Cpu, READY } from './cpu.ts';
import { die } from './death.ts';
import type { Machine } from './machine.ts';
import { NOTIFY, type Op, PAUSE, SPURIOUS, WAIT, WAIT_ASYNC, WAKE } from './protocol.ts';
import { resume } from './resume.ts';
import { invariant } from './verdict.ts';
import { notify, wait, wake } from './waiting.ts';

/** Size of the range of a step that may have read anything; it begins at 0. */
export const ANYWHERE: number = 2 ** 50;

/** Performs one choice, for a CPU whose code is suspended. `next` may hold the choice behind it. */
export function step(machine: Machine, choice: number): void {
  const c = choice & CPU_MASK;
  machine.next = UNDECIDED;
  if ((choice & DIE) !== 0) {
    if (countStep(machine, c)) die(machine, c);
    return;
  }
  if (!beginStep(machine, c)) return;
  const cpu = machine.cpus[c] as Cpu;
  let result: unknown;
  let failed = false;
  try {
    result = execute(machine, c, cpu.op, choice >>> PICK_SHIFT);
  } catch (error) {
    failed = true;
    result = error;
  }
  if (cpu.status === READY) resume(machine, c, result, failed);
  // Asleep, or at its end: else the step has ended where it stands now.
  if (machine.next === UNDECIDED) endStep(machine);
}

function countStep(machine: Machine, c: number): boolean {
  machine.last = c;
  machine.fresh = -1;
  machine.steps++;
  if (machine.steps <= machine.options.stepLimit && machine.accesses <= ACCESS_LIMIT) return true;
  machine.outcome = { kind: 'step limit', message: `cut after ${machine.steps - 1} steps` };
  return false;
}

/** The pending op of a CPU has been granted. False: the run is cut here. */
export function beginStep(machine: Machine, c: number): boolean {
  if (!countStep(machine, c)) return false;
  const { op, entry } = machine.cpus[c] as Cpu;
  machine.spun = (machine.spin.folded >>> c) & 1;
  machine.spin.release(c);
  machine.urgent = -1;
  if (entry !== null && entry.invoked < 0) entry.invoked = machine.steps;
  machine.stepAddress = op.address;
  machine.stepSize = op.size;
  machine.stepWrote = false;
  machine.stepWoke = 0;
  return true;
}

/** The CPU has come to its next scheduling point, to its end, or sleeps. */
export function endStep(machine: Machine): void {
  if (machine.spun > 0) {
    // It has read whatever its loop looks at.
    machine.stepAddress = 0;
    machine.stepSize = ANYWHERE;
    machine.spun = 0;
  }
  if (machine.program.always !== undefined) invariant(machine);
}

/** Performs a scheduled op; throws what the real operation throws. */
export function execute(machine: Machine, c: number, op: Op, pick: number): unknown {
  const { kind } = op;
  if (kind < WAIT) return atomic(machine, c, op);
  if (kind === WAIT || kind === WAIT_ASYNC) return wait(machine, c, op);
  if (kind === NOTIFY) return notify(machine, c, op, pick);
  if (kind >= WAKE && kind <= SPURIOUS) return wake(machine, c, op);
  if (kind >= PAUSE) return undefined;
  const result = plain(machine, c, op);
  machine.stepWrote = machine.plainWrote;
  return result;
}
