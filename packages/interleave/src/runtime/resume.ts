/**
 * A CPU's code: takes up its bodies and jobs one after the other and drives their generators. Code
 * that the transform wrote asks `arrive` itself and yields only when it must suspend; a generator
 * written by hand yields each op, and `arrive` is asked here.
 */
import { arrive } from './arrive.ts';
import { type Cpu, DONE } from './cpu.ts';
import type { Machine } from './machine.ts';
import { Generator, host } from './ops.ts';
import type { Op, Steps } from './protocol.ts';

/** Runs a CPU on from its pending op, with its result, until it suspends, ends or fails. */
export function resume(machine: Machine, c: number, value: unknown, failed: boolean): void {
  const cpu = machine.cpus[c] as Cpu;
  const { op } = cpu;
  let result = value;
  let throwing = failed;
  machine.running = c;
  host.current = op;
  cpu.suspended = false;
  while (machine.outcome === null) {
    if (cpu.generator === null && !begin(machine, c, cpu)) {
      cpu.status = DONE;
      machine.ready &= ~(1 << c);
      machine.spin.progress(c);
      break;
    }
    const generator = cpu.generator as unknown as Steps;
    let step: IteratorResult<Op, unknown>;
    try {
      step = throwing ? generator.throw(result) : generator.next(result);
    } catch (error) {
      fail(machine, c, error);
      break;
    }
    if (cpu.suspended) break;
    throwing = false;
    if (step.done === true) {
      end(machine, cpu, step.value);
      result = undefined;
      continue;
    }
    if (step.value !== op) {
      machine.outcome ??= {
        kind: 'exception',
        message: `${machine.name(c)} yielded something that is not its op (is it a generator of your own?)`,
      };
      break;
    }
    try {
      if (!arrive(machine, op)) break;
      result = host.result;
    } catch (error) {
      throwing = true;
      result = error;
    }
  }
  machine.running = -1;
}

function fail(machine: Machine, c: number, error: unknown): void {
  const message = `${machine.name(c)} threw ${String(error)}`;
  machine.outcome ??= { kind: 'exception', message, error };
}

/** Takes up the CPU's next body or job; false: nothing is left, or it failed. */
function begin(machine: Machine, c: number, cpu: Cpu): boolean {
  for (;;) {
    let value: unknown;
    try {
      const run = nextBody(machine, c, cpu);
      if (run === null) return false;
      value = run();
    } catch (error) {
      fail(machine, c, error);
      return false;
    }
    if (value instanceof Generator) {
      cpu.generator = value as unknown as Steps;
      return true;
    }
    end(machine, cpu, value);
  }
}

function nextBody(machine: Machine, c: number, cpu: Cpu): (() => unknown) | null {
  const { program, context } = machine;
  const script = program.cpus[c];
  if (script === undefined) {
    // Once for each death.
    const dead = machine.estate.shift();
    if (dead === undefined) return null;
    cpu.recovers = dead;
    return () => program.onDeath?.(context, dead, c - program.cpus.length);
  }
  if (cpu.next < script.bodies.length) {
    const body = script.bodies[cpu.next++];
    if (body === undefined) return null;
    if (body.name !== undefined) {
      const { name, args } = body;
      cpu.entry = { cpu: c, name, args, result: undefined, invoked: -1, returned: -1 };
      machine.history.push(cpu.entry);
    }
    return () => body.run(context, machine);
  }
  const job = cpu.jobs.shift();
  return job === undefined ? null : () => job.callback(job.result);
}

/** A body has returned. */
function end(machine: Machine, cpu: Cpu, value: unknown): void {
  cpu.generator = null;
  cpu.recovers = null;
  const { entry } = cpu;
  if (entry === null) return;
  if (entry.invoked < 0) entry.invoked = machine.steps;
  entry.returned = machine.steps;
  entry.result = value;
  cpu.entry = null;
}
