/**
 * What happens when a CPU's code comes to an op. Most ops are performed at once: plain accesses,
 * ops that touch no shared memory, everything of code outside the CPUs. A scheduling point ends
 * the step, and the strategy is asked right here, with the CPU's code still on the stack: when it
 * lets the same CPU go on, the op is performed and nothing was suspended. Only a switch of CPUs
 * unwinds the code (through each `yield*`), which is what made steps of deep code expensive.
 *
 * The order of events is that of a loop that suspends at every op; nothing else depends on it.
 */
import { WORD_ORDINARY } from '../oracle/words.ts';
import { plain } from './access.ts';
import { CPU_MASK, DIE, NONE, PICK_SHIFT } from './choice.ts';
import { type Cpu, READY } from './cpu.ts';
import { isMortal } from './death.ts';
import { performNow } from './direct.ts';
import { beginStep, endStep, execute } from './grant.ts';
import type { Machine } from './machine.ts';
import { host } from './ops.ts';
import { wouldWrite } from './pending.ts';
import { perform } from './perform.ts';
import { BULK, NOTIFY, type Op, PAUSE, POINT, WAIT } from './protocol.ts';
import { invariant } from './verdict.ts';

/** Accesses without effect after which a loop counts as one without a bound. */
const SPIN_OUT = 4096;
/** Accesses in a run, plain ones included, before it is cut: a loop without scheduling points. */
export const ACCESS_LIMIT = 500_000;

/**
 * Shows the machine the op of the running code. True: it is performed, its result is in
 * `host.result` (or what the real operation throws is thrown). False: the code must suspend.
 */
export function arrive(machine: Machine, op: Op): boolean {
  const c = machine.running;
  if (c < 0) {
    host.result = performNow(machine, op);
    return true;
  }
  if (machine.outcome !== null) return suspend(machine, c);
  const { kind } = op;
  if (kind > NOTIFY) {
    if (kind >= PAUSE) {
      host.result = undefined;
      if (kind !== POINT || !isMortal(machine, c)) return true;
      op.address = -1;
    } else {
      machine.memory.resolve(op);
      if (!isPlainPoint(machine, c, op)) return runOn(machine, c, op);
    }
  } else {
    machine.memory.resolve(op);
    // Unshared memory: no other CPU can see it. Waits go through, to fail as they should.
    if (op.address < 0 && kind < WAIT) {
      machine.accesses++;
      host.result = perform(op);
      return true;
    }
  }
  return schedule(machine, c, op);
}

/** A plain access that is no scheduling point: the race detector sees to it that it need not be. */
function runOn(machine: Machine, c: number, op: Op): boolean {
  host.result = plain(machine, c, op);
  if (machine.accesses > ACCESS_LIMIT) {
    machine.outcome ??= {
      kind: 'step limit',
      message: `cut after ${ACCESS_LIMIT} plain accesses`,
    };
  }
  if (machine.program.always !== undefined) invariant(machine);
  return machine.outcome === null || suspend(machine, c);
}

function isPlainPoint(machine: Machine, c: number, op: Op): boolean {
  if (op.address < 0) return false;
  const { options, kinds } = machine;
  if (options.plainPoints) return true;
  if (kinds.any && op.kind !== BULK && options.race && kinds.at(op.address) !== WORD_ORDINARY) {
    return true;
  }
  return options.crash === 'any' && isMortal(machine, c);
}

function suspend(machine: Machine, c: number): false {
  (machine.cpus[c] as Cpu).suspended = true;
  return false;
}

/** A scheduling point: the step ends here, and the next one may be this CPU's again. */
function schedule(machine: Machine, c: number, op: Op): boolean {
  machine.ready |= 1 << c;
  const { spin } = machine;
  if (spin.repeats(c, op) && (op.kind !== WAIT || !wouldWrite(machine, c))) {
    if (machine.spun === 0 || spin.isAwait(op.site)) {
      spin.fold(c, op.site);
      machine.folded++;
    } else {
      return spinOn(machine, c, op);
    }
  }
  if (machine.nested) return suspend(machine, c);
  endStep(machine);
  const choice = machine.choose();
  if (choice < 0 || (choice & (CPU_MASK | DIE)) !== c) {
    machine.next = choice;
    return suspend(machine, c);
  }
  if (!beginStep(machine, c)) {
    machine.next = NONE;
    return suspend(machine, c);
  }
  host.result = execute(machine, c, op, choice >>> PICK_SHIFT);
  const cpu = machine.cpus[c] as Cpu;
  return (cpu.status === READY && machine.outcome === null) || suspend(machine, c);
}

/** Once more round a loop that runs to its bound within one step. */
function spinOn(machine: Machine, c: number, op: Op): boolean {
  if (machine.spun++ > SPIN_OUT) {
    machine.spin.learn(c);
    machine.learned = true;
    machine.stopped = true;
    return suspend(machine, c);
  }
  const { stepWrote } = machine;
  host.result = execute(machine, c, op, 0);
  machine.stepWrote = stepWrote;
  return machine.outcome === null || suspend(machine, c);
}
