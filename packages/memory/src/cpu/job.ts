/**
 * Synchronous steps of asynchronous operations: each runs with the CPU entered, whatever job of the event
 * loop it comes in. For this package's asynchronous waits.
 */

import type { Cpu } from './cpu.ts';
import { enterCpu, leaveCpu } from './protocol.ts';

/** Runs one synchronous step entered; a CPU that leaves by hand leaves behind it. */
export function inJob<T>(cpu: Cpu, step: () => T): T {
  const outer = isEntered(cpu);
  if (!outer) enterCpu(cpu);
  try {
    return step();
  } finally {
    if (!outer && cpu.queueLeave === undefined) leaveCpu(cpu);
  }
}

function isEntered(cpu: Cpu): boolean {
  return cpu.words[cpu.entered] !== 0;
}
