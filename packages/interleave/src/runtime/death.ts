/**
 * Deaths (crash modes). A CPU dies at its pending op: its code is abandoned where it stands, its
 * stores stay, and a recoverer (`onDeath`) starts or goes on. Called by the machine; the strategies
 * ask who may die.
 */
import { ASLEEP, type Cpu, DEAD, DONE, DORMANT, READY, TIMED } from './cpu.ts';
import type { Machine } from './machine.ts';
import type { Program, RunOptions } from './program.ts';
import { POINT, WAIT_ASYNC, WAKE } from './protocol.ts';
import { resume } from './resume.ts';
import { invariant } from './verdict.ts';

/**
 * CPUs that may die now: at an interrupt point (function entry, loop back edge, entry of an
 * Atomics call), or asleep, or about to wake.
 */
export function mortal(machine: Machine): number {
  const { crash, deaths } = machine.options;
  if (crash === 'none' || machine.dead.length >= deaths || machine.outcome !== null) return 0;
  let mask = 0;
  for (let c = 0; c < mortals(machine); c++) {
    const { status, op } = machine.cpus[c] as Cpu;
    if (status === DONE || status === DEAD || status === DORMANT) continue;
    const waits = status === ASLEEP || status === TIMED || op.kind === WAKE;
    // Later is the same as now, except for those who can be woken meanwhile.
    const arrived = c === machine.last || c === machine.fresh || machine.steps === 0;
    // V8 also stops a worker at the entry of an Atomics call, before its effect; never at notify.
    const stops = op.kind === POINT || op.kind <= WAIT_ASYNC;
    if (waits || (arrived && (stops || crash === 'any'))) mask |= 1 << c;
  }
  return mask;
}

/** Stops a CPU for the one question whether it dies here. */
export function isMortal(machine: Machine, c: number): boolean {
  const { crash, deaths } = machine.options;
  if (crash === 'none' || machine.dead.length >= deaths) return false;
  // Going round once more changes nothing: dying earlier is the same.
  if (c >= mortals(machine) || machine.spun > 0) return false;
  machine.urgent = c;
  return true;
}

/** CPUs below this number may die. */
function mortals({ n, options, program }: Machine): number {
  return options.recovererDies ? n : program.cpus.length;
}

/** How many recoverers a machine has: one, and one for each that may die. */
export function recoverers({ onDeath }: Program, { recovererDies, deaths }: RunOptions): number {
  if (onDeath === undefined) return 0;
  return recovererDies ? deaths : 1;
}

/** CPU c dies. Its `finally` blocks do not run. */
export function die(machine: Machine, c: number): void {
  const cpu = machine.cpus[c] as Cpu;
  const unfinished = cpu.recovers;
  cpu.reset(DEAD);
  machine.waiters.removeAll(c);
  machine.ready &= ~(1 << c);
  machine.spin.progress(c);
  machine.dead.push(machine.name(c));
  machine.urgent = -1;
  machine.stepAddress = -1;
  machine.stepWrote = false;
  if (machine.recorder !== null) machine.recorder.died(c, cpu.op);
  if (c < machine.program.cpus.length) machine.estate.push(machine.name(c));
  else {
    // What the dead recoverer holds may be in the way of everything else.
    if (unfinished !== null) machine.estate.unshift(unfinished);
    machine.estate.unshift(machine.name(c));
  }
  const recoverer = recovererOf(machine);
  if (recoverer >= 0) recover(machine, c, recoverer);
  invariant(machine);
}

/** The recoverer of this moment; -1: none is left, or there never was one. */
function recovererOf(machine: Machine): number {
  for (let c = machine.program.cpus.length; c < machine.n; c++) {
    if ((machine.cpus[c] as Cpu).status !== DEAD) return c;
  }
  return -1;
}

/** The recoverer comes behind all that the dead CPU did, and starts unless it is busy. */
function recover(machine: Machine, dead: number, recoverer: number): void {
  machine.races?.clocks.fork(dead, recoverer);
  if (machine.clock.used) machine.clock.follow(recoverer, dead);
  const cpu = machine.cpus[recoverer] as Cpu;
  if (cpu.status !== DORMANT && cpu.status !== DONE) return;
  cpu.status = READY;
  machine.fresh = recoverer;
  machine.nested = true;
  resume(machine, recoverer, undefined, false);
  machine.nested = false;
}
