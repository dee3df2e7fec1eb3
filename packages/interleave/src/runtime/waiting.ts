/**
 * Atomics.wait, waitAsync and notify over the machine's waiter lists, by the memory model: FIFO, and
 * whoever leaves a list happens before who enters it next. Time-outs are virtual. Called by the
 * machine for the CPU whose step it is.
 */
import { ATOMIC_READ } from '../oracle/race.ts';
import { equals, reportRace } from './access.ts';
import { ASLEEP, type Cpu, DONE, type Job, READY, TIMED } from './cpu.ts';
import type { Machine } from './machine.ts';
import { host } from './ops.ts';
import { type Op, SPURIOUS, TIMEOUT, WAIT, WAIT_ASYNC, WAKE } from './protocol.ts';
import { resume } from './resume.ts';
import { invariant } from './verdict.ts';

/** Time-outs of one wait, with nothing changed, after which the same holds. */
const TIME_OUTS = 8;

/** The end of a timed waitAsync. */
export interface Timer {
  readonly due: number;
  readonly fire: () => void;
}

/** Lets the time pass to the next timer's end. */
export function expire(timers: Timer[]): void {
  let at = 0;
  for (let i = 1; i < timers.length; i++) {
    if ((timers[i] as Timer).due < (timers[at] as Timer).due) at = i;
  }
  timers.splice(at, 1)[0]?.fire();
}

export function wait(machine: Machine, c: number, op: Op): unknown {
  const { target, index, address } = op;
  const cpu = machine.cpus[c] as Cpu;
  const asynchronous = op.kind === WAIT_ASYNC;
  // The real operation's checks: an Int32Array or BigInt64Array over shared memory, in range.
  if (!(target instanceof Int32Array || target instanceof BigInt64Array) || address < 0) {
    Atomics.notify(target as Int32Array, index, 0);
    throw new TypeError('Atomics.wait needs an Int32Array or BigInt64Array on shared memory');
  }
  machine.accesses++;
  machine.touched = true;
  const value = Atomics.load(target as Int32Array, index);
  if (machine.clock.used) machine.clock.carry(c, address, true, false);
  const { races } = machine;
  races?.clocks.enterList(c, address);
  races?.access(c, address, op.size, ATOMIC_READ, op.site);
  if (races !== null && races.race !== null) reportRace(machine);
  const given = op.extra === undefined ? Number.NaN : Number(op.extra);
  const timeout = Number.isNaN(given) ? Number.POSITIVE_INFINITY : Math.max(given, 0);
  const differs = !equals(value, op.value, op.size);
  if (differs || timeout === 0) {
    races?.clocks.leaveList(c, address);
    const result = differs ? 'not-equal' : 'timed-out';
    machine.spin.unchanged(c, op);
    if (machine.recorder !== null) machine.recorder.access(c, op, value, value, result);
    return asynchronous ? { async: false, value: result } : result;
  }
  machine.stepWrote = true;
  races?.clocks.leaveList(c, address);
  if (asynchronous) {
    if (machine.recorder !== null) machine.recorder.access(c, op, value, value, 'waits');
    return { async: true, value: listen(machine, c, address, timeout) };
  }
  machine.waiters.add(address, c);
  machine.ready &= ~(1 << c);
  const spurious = machine.options.spurious && (machine.spurious[c] as number) < 1;
  if (timeout !== Number.POSITIVE_INFINITY) {
    cpu.status = TIMED;
    cpu.until = machine.clock.at(c) + timeout;
    machine.ready |= 1 << c;
    if (machine.recorder !== null) machine.recorder.access(c, op, value, value, 'sleeps');
    // Time-outs with nothing changed in between are a loop.
    if (machine.spin.repeats(c, op)) {
      if (machine.spin.isAwait(op.site)) {
        machine.spin.fold(c, op.site);
        machine.folded++;
      } else if (machine.spin.rounds(c, op) > TIME_OUTS) {
        machine.spin.learn(c);
        machine.learned = true;
        machine.stopped = true;
      }
    }
    op.kind = TIMEOUT;
  } else if (spurious) {
    cpu.status = TIMED;
    machine.ready |= 1 << c;
    if (machine.recorder !== null) machine.recorder.access(c, op, value, value, 'sleeps');
    op.kind = SPURIOUS;
  } else {
    cpu.status = ASLEEP;
    if (machine.recorder !== null) machine.recorder.access(c, op, value, value, 'sleeps');
  }
  return undefined;
}

/** The thenable of waitAsync: its callback is a job of the CPU, after its bodies. */
function listen(machine: Machine, c: number, address: number, timeout: number): object {
  const cpu = machine.cpus[c] as Cpu;
  let callback: ((result: string) => unknown) | null = null;
  let settled: string | null = null;
  const settle = (result: string): void => {
    if (settled !== null) return;
    settled = result;
    if (callback !== null) call(machine, c, address, callback, result);
  };
  machine.waiters.addAsync(address, c, settle);
  if (timeout !== Number.POSITIVE_INFINITY) {
    const due = machine.clock.at(c) + timeout;
    const fire = (): void => {
      if (settled !== null) return;
      machine.clock.reach(c, due);
      settle('timed-out');
    };
    machine.timers.push({ due, fire });
  }
  return {
    // oxlint-disable-next-line unicorn/no-thenable -- it stands in for the promise of waitAsync
    then: (resolved: (result: string) => unknown): void => {
      callback = resolved;
      cpu.asyncWaits++;
      if (settled !== null) call(machine, c, address, callback, settled);
    },
  };
}

/** Queues a settled waitAsync's callback; an idle CPU takes it up at once. */
function call(
  machine: Machine,
  c: number,
  address: number,
  callback: Job['callback'],
  result: string,
): void {
  const cpu = machine.cpus[c] as Cpu;
  cpu.asyncWaits--;
  cpu.jobs.push({ callback, result });
  machine.races?.clocks.enterList(c, address);
  machine.stepWoke |= 1 << c;
  if (cpu.status !== DONE) return;
  const { current } = host;
  const { running, nested } = machine;
  cpu.status = READY;
  machine.nested = true;
  resume(machine, c, undefined, false);
  invariant(machine);
  machine.nested = nested;
  host.current = current;
  machine.running = running;
}

export function notify(machine: Machine, c: number, op: Op, pick: number): number {
  const { address } = op;
  machine.accesses++;
  // Checks the arguments as the real one does; nobody really sleeps.
  Atomics.notify(op.target as Int32Array, op.index, 0);
  if (address < 0) return 0;
  const count =
    op.value === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(Math.trunc(Number(op.value)) || 0, 0);
  machine.stepWrote = true;
  machine.races?.clocks.enterList(c, address);
  machine.races?.clocks.leaveList(c, address);
  let woken = 0;
  while (woken < count) {
    const waiter = machine.waiters.take(address, woken === 0 ? pick : 0);
    if (waiter === undefined) break;
    woken++;
    if (machine.clock.used) machine.clock.follow(waiter.cpu, c);
    if (waiter.wake !== null) {
      waiter.wake('ok');
      continue;
    }
    const cpu = machine.cpus[waiter.cpu] as Cpu;
    cpu.status = READY;
    cpu.op.kind = WAKE;
    machine.ready |= 1 << waiter.cpu;
    machine.stepWoke |= 1 << waiter.cpu;
    machine.spin.progress(waiter.cpu);
  }
  if (machine.recorder !== null) machine.recorder.access(c, op, undefined, undefined, woken);
  return woken;
}

export function wake(machine: Machine, c: number, op: Op): string {
  const cpu = machine.cpus[c] as Cpu;
  const { kind } = op;
  machine.accesses++;
  machine.races?.clocks.enterList(c, op.address);
  if (kind !== WAKE) {
    machine.waiters.remove(op.address, c);
    machine.stepWrote = true;
    if (kind === SPURIOUS) machine.spurious[c] = (machine.spurious[c] as number) + 1;
    else {
      machine.clock.reach(c, cpu.until);
      op.kind = WAIT;
      machine.spin.unchanged(c, op);
      op.kind = kind;
    }
  }
  machine.races?.clocks.leaveList(c, op.address);
  cpu.status = READY;
  const result = kind === TIMEOUT ? 'timed-out' : 'ok';
  if (machine.recorder !== null) machine.recorder.access(c, op, undefined, undefined, result);
  return result;
}
