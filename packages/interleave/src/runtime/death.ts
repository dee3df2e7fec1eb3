/**
 * Deaths (crash modes). A CPU dies at its pending op: its code is abandoned where it stands, its
 * stores stay, and a recoverer (`onDeath`) starts or goes on. Called by the machine; the strategies
 * ask who may die.
 */
import { ASLEEP, type Cpu, DEAD, DONE, DORMANT, READY, TIMED } from './cpu.ts';
import type { Machine } from './machine.ts';
import { POINT, WAIT_ASYNC, WAKE } from './protocol.ts';
import { resume } from './resume.ts';
import { invariant } from './verdict.ts';

/**
 * CPUs that may die now: at an interrupt point (function entry, loop back edge, entry of an
 * Atomics call), or asleep, or about to wake.
 */
export function mortal(machine: Machine): number {
  const { crash, deaths } = machine.options;
  if (crash === 'none' || machine.deaths >= deaths || machine.outcome !== null) return 0;
  let mask = 0;
  for (let c = 0; c < machine.program.cpus.length; c++) {
    const { status, op } = machine.cpus[c] as Cpu;
    if (status === DONE || status === DEAD) continue;
    const waits = status === ASLEEP || status === TIMED || op.kind === WAKE;
    // Later is the same as now, except for those who can be woken meanwhile.
    const arrived = c === machine.last || machine.steps === 0;
    // V8 also stops a worker at the entry of an Atomics call, before its effect; never at notify.
    const stops = op.kind === POINT || op.kind <= WAIT_ASYNC;
    if (waits || (arrived && (stops || crash === 'any'))) mask |= 1 << c;
  }
  return mask;
}

/** Stops a CPU for the one question whether it dies here. */
export function isMortal(machine: Machine, c: number): boolean {
  const { crash, deaths } = machine.options;
  if (crash === 'none' || machine.deaths >= deaths) return false;
  // Going round once more changes nothing: dying earlier is the same.
  if (c >= machine.program.cpus.length || machine.spun > 0) return false;
  machine.urgent = c;
  return true;
}

/** CPU c dies. Its `finally` blocks do not run. */
export function die(machine: Machine, c: number): void {
  const cpu = machine.cpus[c] as Cpu;
  cpu.reset(DEAD);
  machine.waiters.removeAll(c);
  machine.ready &= ~(1 << c);
  machine.spin.progress(c);
  machine.deaths++;
  machine.dead.push(machine.name(c));
  machine.urgent = -1;
  machine.stepAddress = -1;
  machine.stepWrote = false;
  if (machine.recorder !== null) machine.recorder.died(c, cpu.op);
  const recoverer = machine.program.cpus.length;
  if (recoverer < machine.n) {
    machine.races?.clocks.fork(c, recoverer);
    if (machine.clock.used) machine.clock.follow(recoverer, c);
    const successor = machine.cpus[recoverer] as Cpu;
    if (successor.status === DORMANT || successor.status === DONE) {
      successor.status = READY;
      machine.nested = true;
      resume(machine, recoverer, undefined, false);
      machine.nested = false;
    }
  }
  invariant(machine);
}
