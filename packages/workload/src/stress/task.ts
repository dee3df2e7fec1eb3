/**
 * The task that every CPU of a stress run executes: open the zones, run steps until the stop word
 * is set or the operations are made, meet at the barrier, give everything back.
 *
 * It never awaits inside the loop, so the CPU stays entered for the whole run and answers drain
 * requests at its slow paths and at the checkpoint every few hundred steps.
 */

import { checkpoint, type Cpu, CpuRecord, enterCpu } from '@umbuf/memory';
import { Uma } from '@umbuf/uma';
import { Random } from '../random.ts';
import type { Violation } from '../scenario/scenario.ts';
import { arriveAndWait, type ControlBlock, stopRequested } from './control.ts';
import { type FaultName, plantFault } from './faults.ts';
import { heapAfterCollection } from './heap.ts';
import { loadScenario } from './load-scenario.ts';
import { Oracle } from './oracle.ts';
import { StressCpu } from './scenario-cpu.ts';

export interface StressArgument {
  readonly scenario: string;
  /** Place of this CPU in the scenario. */
  readonly index: number;
  readonly seed: number;
  readonly control: ControlBlock;
  /** Operations of this CPU; absent: until the stop word. */
  readonly operations?: number;
  /** A planted fault (`--self-check`). */
  readonly fault?: FaultName;
}

export interface StressResult {
  readonly index: number;
  /** Number of the CPU in the arena. */
  readonly number: number;
  readonly operations: number;
  readonly steps: number;
  readonly takes: number;
  readonly gives: number;
  readonly seconds: number;
  readonly violations: readonly Violation[];
  readonly violationCount: number;
  /** JavaScript heap of the worker at the end, after a collection, bytes. */
  readonly heapUsed: number;
}

const PROGRESS = CpuRecord.fields.progress.at;
/** How long a CPU waits for the others at a barrier, milliseconds. */
const BARRIER_MS = 60_000;

/** Runs one CPU's share. `context.cpu` is the number that this worker has claimed. */
export async function stress(
  context: { readonly cpu: Cpu },
  argument: StressArgument,
): Promise<StressResult> {
  const { cpu } = context;
  const { control, index, seed } = argument;
  const scenario = await loadScenario(argument.scenario);
  const uma = Uma.attach(cpu);
  scenario.attach?.(uma);
  const zones = scenario.zones.map((definition) => uma.open(definition));
  const oracle = new Oracle(cpu.words, index);
  const random = new Random(seed, index);
  const own = new StressCpu(uma, index, random, zones, control, oracle);
  const state = scenario.start(own);
  if (argument.fault !== undefined) plantFault(argument.fault, own, state);
  arriveAndWait(cpu.words, control, BARRIER_MS);
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  const from = performance.now();
  const most = argument.operations ?? Number.POSITIVE_INFINITY;
  const progress = (cpu.base + PROGRESS) >> 1;
  let operations = 0;
  let steps = 0;
  try {
    while (operations < most) {
      const made = scenario.step(own, state);
      operations += made;
      cpu.longs[progress]! += BigInt(made);
      if ((++steps & 15) === 0) {
        if (argument.operations === undefined && stopRequested(cpu.words, control)) break;
        if ((steps & 255) === 0) checkpoint(cpu);
      }
    }
  } catch (error) {
    oracle.report(`error: ${(error as Error).name}`, (error as Error).message);
  }
  const seconds = (performance.now() - from) / 1000;
  if (!arriveAndWait(cpu.words, control, BARRIER_MS)) {
    oracle.report('progress', `CPU ${index} waited ${BARRIER_MS} ms for the others to finish`);
  }
  try {
    scenario.finish(own, state);
  } catch (error) {
    oracle.report(`error: ${(error as Error).name}`, (error as Error).message);
  }
  return {
    index,
    number: cpu.number,
    operations,
    steps,
    takes: oracle.takes,
    gives: oracle.gives,
    seconds,
    violations: oracle.violations,
    violationCount: oracle.count,
    heapUsed: heapAfterCollection(),
  };
}
