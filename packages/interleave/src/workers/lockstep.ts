/**
 * Replays a schedule that the explorer found on real workers, one operation at a time, on the
 * untransformed source: the proof that a failure is not one of the virtual CPUs'. Every atomic
 * operation is compared (kind, place, result), and at the end the bytes of all shared buffers.
 *
 * Plain accesses run between the atomic ones, as on any machine. Sleeping and waking follow the
 * list of events. Deaths cannot be replayed here.
 */
import type { Trace } from '../report/trace.ts';
import { AddressSpace } from '../runtime/memory.ts';
import { ASLEEP, FINISHED, PROGRESS } from './control.ts';
import { Crew } from './crew.ts';
import type { SharedScenario } from './scenario.ts';

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
]);

/** The atomic operations of a trace, as workers compare them. */
export function lockEvents(trace: Trace): LockEvent[] {
  return trace.events
    .filter(({ kind }) => ATOMIC.has(kind))
    .map(({ cpu, kind, offset, raw }) => ({ cpu, kind, byteOffset: offset, result: raw }));
}

/** Replays a trace on real workers. The module exports the scenario and must be JavaScript. */
export async function lockstep(
  module: string | URL,
  trace: Trace,
  options: { readonly name?: string; readonly runs?: number; readonly hangMs?: number } = {},
): Promise<LockstepReport> {
  const { name = 'scenario', runs = 1, hangMs = 5000 } = options;
  if (trace.events.some(({ kind }) => kind === 'dies')) {
    throw new TypeError('interleave: a schedule with a death cannot be replayed in lock step');
  }
  const url = String(module);
  const scenario = ((await import(url)) as Record<string, SharedScenario>)[name];
  if (scenario === undefined) throw new TypeError(`interleave: ${url} does not export '${name}'`);
  const cpus = Object.keys(scenario.cpus);
  const events = lockEvents(trace);
  let divergence: string | null = null;
  let asleep: string[] = [];
  let made = 0;
  const crew = await Crew.start(url, name, cpus, 'lockstep', 1);
  try {
    for (; made < runs && divergence === null; made++) {
      const context = scenario.setup(scenario.prepare?.());
      Atomics.store(crew.control, 0, 0);
      for (let c = 0; c < cpus.length; c++) Atomics.store(crew.control, PROGRESS + c, 0);
      crew.send({ contexts: [scenario.share?.(context) ?? context], events, from: 0 });
      const until = performance.now() + hangMs;
      for (const [i, cpu] of cpus.entries()) {
        const message = await crew.receive(i, until - performance.now());
        if (message === null) divergence ??= `${cpu} does not come back`;
        else if (message.kind === 'diverged') {
          divergence ??= `${cpu}: expected ${message.expected}, got ${message.got}`;
        }
      }
      const position = Atomics.load(crew.control, 0);
      if (divergence === null && position !== events.length) {
        divergence = `stopped after ${position} of ${events.length} operations`;
      }
      asleep = cpus.filter((_, c) => Atomics.load(crew.control, PROGRESS + c) === ASLEEP);
      divergence ??= bytesDiffer(context, trace);
      void FINISHED;
    }
  } finally {
    await crew.stop();
  }
  return { same: divergence === null, runs: made, events: events.length, asleep, divergence };
}

function bytesDiffer(context: unknown, trace: Trace): string | null {
  const memory = new AddressSpace();
  memory.scan(context);
  for (const [i, expected] of trace.memory.entries()) {
    const buffer = memory.buffers[i]?.buffer;
    if (buffer === undefined) return `buffer ${i} is missing`;
    const got = new Uint8Array(buffer);
    for (let at = 0; at < expected.length; at++) {
      if (expected[at] !== got[at]) {
        return `buffer ${i}, byte ${at}: expected ${expected[at]}, got ${got[at]}`;
      }
    }
  }
  return null;
}
