/** Judges a run while it goes on (`always`) and at its end: deadlock, livelock, `final`. */
import { ASLEEP, type Cpu, DONE, READY, TIMED } from './cpu.ts';
import { runDirectly } from './direct.ts';
import type { Machine } from './machine.ts';
import { host } from './ops.ts';
import type { Outcome } from './program.ts';

/** Evaluates `always`; called behind every step and every plain access. */
export function invariant(machine: Machine): void {
  const { always } = machine.program;
  if (always === undefined || machine.outcome !== null) return;
  attempt(machine, 'always', () => runDirectly(machine, always(machine.context)));
}

/** The verdict of a run in which no CPU is enabled any more. */
export function verdict(machine: Machine): Outcome | null {
  if (machine.outcome !== null) return machine.outcome;
  let asleep = '';
  let spinning = '';
  for (let c = 0; c < machine.n; c++) {
    const { status, asyncWaits } = machine.cpus[c] as Cpu;
    if (status === ASLEEP) asleep += ` ${machine.name(c)}`;
    else if (status === READY || status === TIMED) spinning += ` ${machine.name(c)}`;
    else if (status === DONE && asyncWaits > 0) asleep += ` ${machine.name(c)} (waitAsync)`;
  }
  if (spinning !== '') {
    const rest = asleep === '' ? '' : `; asleep:${asleep}`;
    const message = `spinning with nobody left to end it:${spinning}${rest}`;
    machine.outcome = { kind: 'livelock', message };
  } else if (asleep !== '') {
    const message = `asleep with nobody left to wake:${asleep}`;
    machine.outcome = { kind: 'deadlock', message };
  } else {
    const { final } = machine.program;
    const { dead, history, context } = machine;
    if (final !== undefined) {
      attempt(machine, 'final', () => runDirectly(machine, final(context, { dead, history })));
    }
  }
  return machine.outcome;
}

/** Runs an oracle outside the CPUs: false or a throw is a failure of its kind. */
function attempt(machine: Machine, kind: 'always' | 'final', body: () => unknown): void {
  // `always` runs between an access of a CPU and the use of its result.
  const { current, result } = host;
  const { running } = machine;
  machine.running = -1;
  try {
    if (body() === false) throw new Error(`${kind} returned false`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    machine.outcome ??= { kind, message, error };
  }
  machine.running = running;
  host.current = current;
  host.result = result;
}
