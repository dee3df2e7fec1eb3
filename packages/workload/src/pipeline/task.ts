/** The task that every CPU of the pipeline runs for a capture: its roles, until all are finished. */

import type { Cpu } from '@umbuf/memory';
import { Mbufs } from '@umbuf/mbuf';
import { Uma } from '@umbuf/uma';
import { abortWord, type PipelineControl } from './control.ts';
import { Driver, type DriverResult } from './driver.ts';
import { StoppedError } from './errors.ts';
import { type Patience, PipelineCpu } from './pipeline-cpu.ts';
import type { RoleName } from './placement.ts';
import { Protocol, type ProtocolResult } from './protocol.ts';
import { Tap, type TapResult } from './tap.ts';

export interface PipelineArgument {
  readonly roles: readonly RoleName[];
  readonly control: PipelineControl;
  readonly patience: Patience;
  /** The capture; its driver opens it. */
  readonly path: string;
}

/** What the roles of one CPU found. */
export interface PipelineCpuResult {
  readonly driver?: DriverResult;
  readonly protocol?: ProtocolResult;
  readonly tap?: TapResult;
}

/** Attaches the layers in each worker, so that it can recover and drain for others. */
export function attach(cpu: Cpu): void {
  Mbufs.attach(Uma.attach(cpu));
}

/**
 * Runs one CPU's roles. The first CPU that fails sets the abort word and throws; the others see it
 * and return what they have, so that the caller meets exactly one error, the cause.
 */
export function pipeline(
  context: { readonly cpu: Cpu },
  { roles, control, patience, path }: PipelineArgument,
): PipelineCpuResult {
  const mbufs = Mbufs.attach(Uma.attach(context.cpu));
  const cpu = new PipelineCpu(mbufs, control, patience);
  const driver = roles.includes('driver') ? new Driver(cpu, path) : undefined;
  const number = roles.find((role) => typeof role === 'number');
  const protocol = number === undefined ? undefined : new Protocol(cpu, number);
  const tap = roles.includes('tap') ? new Tap(cpu) : undefined;
  for (const role of [driver, protocol, tap]) if (role !== undefined) cpu.roles.push(role);
  try {
    cpu.run();
  } catch (error) {
    const first = Atomics.exchange(cpu.words, abortWord(control), 1) === 0;
    Atomics.notify(cpu.words, abortWord(control));
    if (first || !(error instanceof StoppedError)) throw error;
  }
  return {
    ...(driver === undefined ? {} : { driver: driver.result() }),
    ...(protocol === undefined ? {} : { protocol: protocol.result() }),
    ...(tap === undefined ? {} : { tap: tap.result() }),
  };
}
