/**
 * Read sections: stretches of a job in which the thread holds references that nothing but the
 * section protects (uma's SMR). The CPU counts the open ones in a thread-private word, so that it
 * does not go idle in one: an `await` inside a section is found by the leave that it causes.
 *
 * A refused leave changes nothing: the CPU stays running, the section open, and what the thread
 * looks at stays protected. The end of the last section queues the leave again, since only
 * `enterCpu` would.
 */

import { SectionError } from '../errors.ts';
import type { Cpu } from './cpu.ts';
import { enterCpu } from './protocol.ts';

/** A leave was refused; above any count of sections. */
const LEAVE_REFUSED = 0x10000;

/** Counts a section, on a CPU that is then entered. */
export function beginSection(cpu: Cpu): void {
  const { words } = cpu;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  words[cpu.sections]! += 1;
}

/** The end of a section that `beginSection` counted. */
export function endSection(cpu: Cpu): void {
  const { words } = cpu;
  const left = words[cpu.sections]! - 1;
  words[cpu.sections] = left;
  if (left === LEAVE_REFUSED) {
    words[cpu.sections] = 0;
    if (cpu.queueLeave !== undefined) cpu.queueLeave();
  }
}

/** Whether this thread is inside a section. */
export function isInSection(cpu: Cpu): boolean {
  return cpu.words[cpu.sections] !== 0;
}

/** Throws `SectionError` inside a section; `what` is what may not be done there. */
export function requireNoSection(cpu: Cpu, what: string): void {
  if (isInSection(cpu)) throw new SectionError(`CPU ${cpu.number}: ${what} inside a read section`);
}

/** The CPU would leave inside a section: it stays, and says so. */
export function refuseLeave(cpu: Cpu): never {
  cpu.words[cpu.sections]! |= LEAVE_REFUSED;
  throw new SectionError(
    `CPU ${cpu.number} leaves inside a read section: a section spans no await and no sleep`,
  );
}
