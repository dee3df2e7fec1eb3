/**
 * Replays a schedule that the explorer found on real workers, one operation at a time, on the
 * untransformed source: the proof that a failure is not one of the virtual CPUs'. Every atomic
 * operation is compared (kind, place, result), and at the end the bytes of all shared buffers.
 *
 * Plain accesses run between the atomic ones, as on any machine. Sleeping and waking follow the
 * list of events. Where a CPU dies its worker is terminated, and `onDeath` runs on one more worker
 * from then on. A worker can only be stopped at its next atomic operation or in its sleep: plain stores
 * between a death elsewhere and that operation happen all the same, and are a divergence that says so.
 */
import type { Trace } from '../report/trace.ts';
import { AddressSpace } from '../runtime/memory.ts';
import { ASLEEP, POSITION, PROGRESS } from './control.ts';
import { Crew, type CrewMessage } from './crew.ts';
import { ON_DEATH, type SharedScenario } from './scenario.ts';

/** One operation in the order of the schedule. */
export interface LockEvent {
  readonly cpu: number;
  readonly kind: string;
  readonly byteOffset: number;
  readonly result: string;
}

/** How the replay went. */
export interface LockstepReport {
  /** All operations and all bytes were the same, in every run. */
  readonly same: boolean;
  readonly runs: number;
  /** Operations of the schedule. */
  readonly events: number;
  /** CPUs that were asleep when nothing was left to do. */
  readonly asleep: readonly string[];
  /** The first difference. */
  readonly divergence: string | null;
}

const ATOMIC = new Set([
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'wait',
  'notify',
  'woken',
  'timed out',
  'spurious wake',
  'dies',
]);

/** Options of `lockstep`. */
export interface LockstepOptions {
  /** Name of the module's export. Default 'scenario'. */
  readonly name?: string;
  /** Default 1. */
  readonly runs?: number;
  /** A run that takes longer hangs. Default 5000 ms. */
  readonly hangMs?: number;
  /** Bytes that are not compared at the end: times that the code has measured. */
  readonly ignore?: (byteOffset: number, buffer: number) => boolean;
}

/** The atomic operations and deaths of a trace, as workers compare them. */
export function lockEvents(trace: Trace): LockEvent[] {
  return trace.events
    .filter(({ kind }) => ATOMIC.has(kind))
    .map(({ cpu, kind, offset, raw }) => ({ cpu, kind, byteOffset: offset, result: raw }));
}

/**
 * Replays a trace on real workers. The module exports the scenario and must be JavaScript. Throws
 * TypeError for a module without it, and for a trace in which `onDeath` itself dies.
 */
export async function lockstep(
  module: string | URL,
  trace: Trace,
  options: LockstepOptions = {},
): Promise<LockstepReport> {
  const { name = 'scenario', runs = 1 } = options;
  const url = String(module);
  const scenario = ((await import(url)) as Record<string, SharedScenario>)[name];
  if (scenario === undefined) throw new TypeError(`interleave: ${url} does not export '${name}'`);
  const events = lockEvents(trace);
  const last = Object.keys(scenario.cpus).length - 1;
  if (events.some(({ kind, cpu }) => kind === 'dies' && cpu > last)) {
    throw new TypeError(
      'interleave: a schedule in which onDeath dies cannot be replayed in lock step',
    );
  }
  const result: Run = { divergence: null, asleep: [] };
  let made = 0;
  let crew: Crew | null = null;
  try {
    for (; made < runs && result.divergence === null; made++) {
      // One more for `onDeath`, and new ones behind a death.
      const cpus = Object.keys(scenario.cpus);
      const workers = scenario.onDeath === undefined ? cpus : [...cpus, ON_DEATH];
      if (crew === null || events.some(({ kind }) => kind === 'dies')) {
        await crew?.stop();
        crew = await Crew.start(url, name, workers, 'lockstep', 1);
      }
      await replay(crew, scenario, workers, events, trace, options, result);
    }
  } finally {
    await crew?.stop();
  }
  const { divergence, asleep } = result;
  return { same: divergence === null, runs: made, events: events.length, asleep, divergence };
}

interface Run {
  divergence: string | null;
  asleep: readonly string[];
}

async function replay(
  crew: Crew,
  scenario: SharedScenario,
  workers: readonly string[],
  events: readonly LockEvent[],
  trace: Trace,
  { hangMs = 5000, ignore }: LockstepOptions,
  result: Run,
): Promise<void> {
  const context = scenario.setup(scenario.prepare?.());
  Atomics.store(crew.control, POSITION, 0);
  for (let c = 0; c < workers.length; c++) Atomics.store(crew.control, PROGRESS + c, 0);
  crew.send({ contexts: [scenario.share?.(context) ?? context], events, from: 0 });
  const until = performance.now() + hangMs;
  const note = (i: number, message: CrewMessage | null): void => {
    if (message === null) result.divergence ??= `${workers[i]} does not come back`;
    else if (message.kind === 'diverged') {
      result.divergence ??= `${workers[i]}: expected ${message.expected}, got ${message.got}`;
    }
  };
  const dead = new Set<number>();
  for (const { cpu, kind } of events) {
    if (kind !== 'dies' || result.divergence !== null) continue;
    const message = await crew.receive(cpu, until - performance.now());
    if (message?.kind !== 'dying') {
      note(cpu, message);
      result.divergence ??= `${workers[cpu]} came to its end before its death`;
      break;
    }
    await crew.kill(cpu);
    dead.add(cpu);
    // Its turn was this event.
    Atomics.add(crew.control, POSITION, 1);
    Atomics.notify(crew.control, POSITION);
  }
  for (let i = 0; i < workers.length; i++) {
    if (!dead.has(i)) note(i, await crew.receive(i, until - performance.now()));
  }
  const position = Atomics.load(crew.control, POSITION);
  if (position !== events.length) {
    result.divergence ??= `stopped after ${position} of ${events.length} operations`;
  }
  result.asleep = workers.filter(
    (_, c) => !dead.has(c) && Atomics.load(crew.control, PROGRESS + c) === ASLEEP,
  );
  const differs = result.divergence === null ? bytesDiffer(context, trace, ignore) : null;
  if (differs === null) return;
  result.divergence =
    dead.size === 0
      ? differs
      : `${differs} (after a death in the schedule between two atomic operations? a worker stops at the next one only)`;
}

function bytesDiffer(
  context: unknown,
  trace: Trace,
  ignore: LockstepOptions['ignore'],
): string | null {
  const memory = new AddressSpace();
  memory.scan(context);
  for (const [i, expected] of trace.memory.entries()) {
    const buffer = memory.buffers[i]?.buffer;
    if (buffer === undefined) return `buffer ${i} is missing`;
    const got = new Uint8Array(buffer);
    for (let at = 0; at < expected.length; at++) {
      if (expected[at] !== got[at] && ignore?.(at, i) !== true) {
        return `buffer ${i}, byte ${at}: expected ${expected[at]}, got ${got[at]}`;
      }
    }
  }
  return null;
}
