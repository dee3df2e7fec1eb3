/**
 * Static records and roots: zone, keg and statistic records that live as long as the arena.
 *
 * All of it is under the registry lock. A record is built in the space that `staticSpace` shows,
 * and becomes real in the straight line in which its creator links it, by one atomic store, and
 * then moves `staticNext` behind it. A creator that dies before that store leaves nothing: the next
 * one builds over it.
 */

import { LINE_BYTES, PAGE_SIZE, type Address } from './address.ts';
import type { Cpu } from './cpu/cpu.ts';
import { HandKind, releaseSlot, reserveSlot } from './cpu/hand-stack.ts';
import { ArenaHeader } from './layout/records.ts';
import { takePages } from './page/page-pool.ts';
import { lockMutex, unlockMutex } from './sync/mutex.ts';

const H = ArenaHeader.fields;

/** Word index of the registry mutex. */
export const REGISTRY_LOCK: number = H.registryLock.at;
/** Word that a creator moves behind its record, in the straight line that publishes it. */
export const STATIC_NEXT: number = H.staticNext.at;

/** Word index of each layer's root: the address of its root record, 0 = not made yet. */
export const Root: Readonly<
  Record<'statistics' | 'uma' | 'mbuf' | 'tracing' | 'percpu' | 'application', number>
> = {
  statistics: H.roots.at,
  uma: H.roots.at + 1,
  mbuf: H.roots.at + 2,
  tracing: H.roots.at + 3,
  percpu: H.roots.at + 4,
  /** For applications and tests: free to use. */
  application: H.roots.at + 8,
};

export function lockRegistry(cpu: Cpu): void {
  lockMutex(cpu, REGISTRY_LOCK);
}

export function unlockRegistry(cpu: Cpu): void {
  unlockMutex(cpu, REGISTRY_LOCK);
}

/**
 * Zeroed space for a static record of `bytes` bytes, 128-byte aligned, or NULL when the arena has
 * no pages for it. Under the registry lock. Not yet handed out: the creator links it by an atomic
 * store, with `words[STATIC_NEXT] = address + bytes` behind it in the same straight line.
 */
export function staticSpace(cpu: Cpu, bytes: number): Address {
  const { words } = cpu;
  let next = (words[H.staticNext.at]! + LINE_BYTES - 1) & -LINE_BYTES;
  if (next === 0 || next + bytes > words[H.staticEnd.at]!) {
    next = extendStatic(cpu, bytes);
    if (next === 0) return next as Address;
  }
  cpu.kernels.zero(next, bytes);
  return next as Address;
}

/** A new chunk; what is left of the old one stays unused. */
function extendStatic(cpu: Cpu, bytes: number): number {
  const { words, arena } = cpu;
  const needed = Math.ceil(bytes / PAGE_SIZE);
  const slot = reserveSlot(cpu);
  // A roomy chunk first, then what is needed, from whichever domain has it.
  let pages = Math.max(needed, Math.min(16, arena.pages >> 6));
  let chunk = takeFromAnyDomain(cpu, pages, slot);
  if (chunk === 0) {
    pages = needed;
    chunk = takeFromAnyDomain(cpu, pages, slot);
  }
  const end = chunk + pages * PAGE_SIZE;
  if (chunk !== 0) {
    // straight
    words[H.staticNext.at] = chunk;
    words[H.staticEnd.at] = end;
    words[H.staticBytes.at]! += end - chunk;
    words[slot] = HandKind.none;
    // end
  }
  releaseSlot(cpu, slot);
  return chunk;
}

function takeFromAnyDomain(cpu: Cpu, pages: number, slot: number): number {
  for (let domain = 0; domain < cpu.arena.domains; domain++) {
    const chunk = takePages(cpu, pages, domain, slot);
    if (chunk !== 0) return chunk;
  }
  return 0;
}
