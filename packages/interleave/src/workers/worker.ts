/**
 * The worker's side of stress and lock step. In lock step the global `Atomics` is replaced before
 * the module under test is evaluated: each operation on shared memory waits for its turn in the
 * list of events, is performed by the real operation, and is compared with what the virtual CPU
 * got. Sleeping is played by the list (the real operation would keep the turn): a wait that sleeps
 * in the list waits for its wake-up there.
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  ASLEEP,
  DIVERGED,
  FINISHED,
  OVER,
  POSITION,
  PROGRESS,
  real,
  RUNNING,
  waitFor,
} from './control.ts';
import type { LockEvent } from './lockstep.ts';
import { ON_DEATH, runScript, type SharedScenario, type WorkerSetup } from './scenario.ts';

const setup = workerData as WorkerSetup;
const control = new Int32Array(setup.control);
const mine = PROGRESS + setup.index;

/** Ends the scenario in this worker: the list of events is over. */
class Stop extends Error {}

let events: readonly LockEvent[] = [];
let next = 0;

function turn(): LockEvent {
  const at = next;
  for (let position = at; position < events.length; position++) {
    if (events[position]?.cpu !== setup.index) continue;
    if (!waitFor(control, POSITION, (value) => value >= position)) throw new Stop();
    next = position + 1;
    const event = events[position] as LockEvent;
    if (event.kind === 'dies') die();
    return event;
  }
  // Beyond the list nothing runs: the virtual run ended here.
  throw new Stop();
}

/** Stands still until the main thread has terminated this worker. */
function die(): never {
  parentPort?.postMessage({ kind: 'dying' });
  for (;;) real.wait(control, mine, real.load(control, mine));
}

function pass(): void {
  real.add(control, POSITION, 1);
  real.notify(control, POSITION);
}

function compare(event: LockEvent, kind: string, byteOffset: number, result: unknown): void {
  const got = `${kind} ${byteOffset} = ${String(result)}`;
  const expected = `${event.kind} ${event.byteOffset} = ${event.result}`;
  if (got === expected) return;
  real.store(control, mine, DIVERGED);
  parentPort?.postMessage({ kind: 'diverged', expected, got });
  real.store(control, OVER, 1);
  real.notify(control, POSITION);
  throw new Stop();
}

function replaceAtomics(): void {
  const isShared = (array: ArrayBufferView): boolean =>
    (array.buffer as unknown) instanceof SharedArrayBuffer;
  const offset = (array: any, index: number): number =>
    array.byteOffset + index * array.BYTES_PER_ELEMENT;
  const replaced: Record<string, unknown> = {};
  for (const name of [
    'load',
    'store',
    'add',
    'sub',
    'and',
    'or',
    'xor',
    'exchange',
    'compareExchange',
  ] as const) {
    const operation = real[name] as (array: any, index: number, ...args: any[]) => any;
    replaced[name] = (array: any, index: number, ...args: any[]): any => {
      if (!isShared(array)) return operation(array, index, ...args);
      const event = turn();
      const result = operation(array, index, ...args);
      compare(event, name, offset(array, index), result);
      pass();
      return result;
    };
  }
  replaced['wait'] = (array: any, index: number, value: any): string => {
    const event = turn();
    const sleeps = real.load(array, index) === value;
    compare(event, 'wait', offset(array, index), sleeps ? 'sleeps' : 'not-equal');
    if (!sleeps) {
      pass();
      return 'not-equal';
    }
    real.store(control, mine, ASLEEP);
    pass();
    const wake = turn();
    real.store(control, mine, RUNNING);
    pass();
    return wake.kind === 'timed out' ? 'timed-out' : 'ok';
  };
  replaced['notify'] = (array: any, index: number): number => {
    const event = turn();
    real.notify(array, index);
    compare(event, 'notify', offset(array, index), event.result);
    pass();
    return Number(event.result);
  };
  replaced['isLockFree'] = real.isLockFree;
  replaced['pause'] = () => undefined;
  (globalThis as { Atomics: unknown }).Atomics = replaced;
}

async function main(): Promise<void> {
  if (setup.mode === 'lockstep') replaceAtomics();
  const module = (await import(setup.module)) as Record<string, SharedScenario>;
  const scenario = module[setup.name];
  const script = setup.cpu === ON_DEATH ? recoverer(scenario) : scenario?.cpus[setup.cpu];
  if (scenario === undefined || script === undefined) {
    throw new Error(
      `interleave: ${setup.module} has no scenario '${setup.name}' with '${setup.cpu}'`,
    );
  }
  let random = setup.seed | 1;
  parentPort?.on(
    'message',
    (message: { contexts: unknown[]; events: LockEvent[]; from: number }) => {
      const results = [];
      events = message.events;
      next = 0;
      real.store(control, mine, RUNNING);
      // Set-up in the worker is not part of the scenario.
      const contexts = message.contexts.map((shared) =>
        withRealAtomics(() => scenario.attach?.(shared) ?? shared),
      );
      for (const [i, context] of contexts.entries()) {
        if (setup.mode === 'stress') {
          // The start line, then a random phase, so that the CPUs meet everywhere.
          real.add(control, POSITION, 1);
          real.notify(control, POSITION);
          const goal = (message.from + i + 1) * setup.cpus;
          if (!waitFor(control, POSITION, (value) => value - goal >= 0)) return;
          random = (Math.imul(random, 1664525) + 1013904223) | 0;
          for (let delay = (random >>> 8) & 127; delay > 0; delay--) real.load(control, mine);
        }
        const done = runScript(scenario, script, context);
        // It may be meant to die behind its last operation.
        if (setup.mode === 'lockstep') dieBehind();
        const stopped = done.some(({ error }) => error === 'Error: stop');
        results.push(stopped ? [] : done);
        if (setup.mode === 'stress') real.store(control, mine, message.from + i + 1);
        else if (!stopped) real.store(control, mine, FINISHED);
      }
      parentPort?.postMessage({ kind: 'results', results });
    },
  );
  parentPort?.postMessage({ kind: 'ready' });
}

/** The script of one more worker: `onDeath` for each death, in their order. */
function recoverer(scenario: SharedScenario | undefined): ((context: unknown) => void) | undefined {
  const onDeath = scenario?.onDeath;
  if (scenario === undefined || onDeath === undefined) return undefined;
  const names = Object.keys(scenario.cpus);
  return (context) => {
    for (const [position, { kind, cpu }] of events.entries()) {
      if (kind !== 'dies') continue;
      // Also what it accesses plainly comes behind the death.
      if (!waitFor(control, POSITION, (value) => value > position)) throw new Stop();
      onDeath(context, names[cpu] as string, 0);
    }
  };
}

function dieBehind(): void {
  const own = events.findIndex(({ cpu }, position) => position >= next && cpu === setup.index);
  if (own < 0 || events[own]?.kind !== 'dies') return;
  if (waitFor(control, POSITION, (value) => value >= own)) die();
}

function withRealAtomics<T>(body: () => T): T {
  const replaced = Atomics;
  (globalThis as { Atomics: unknown }).Atomics = real;
  try {
    return body();
  } finally {
    (globalThis as { Atomics: unknown }).Atomics = replaced;
  }
}

Stop.prototype.toString = () => 'Error: stop';
await main();
