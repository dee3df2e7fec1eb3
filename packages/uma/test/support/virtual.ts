/**
 * Several virtual CPUs in one thread: each a claimed number with `manualLeave`, each with its own
 * `Uma`. What one CPU holds, and what a whole arena must look like between operations, is asked
 * here in one place.
 */

import { expect } from 'vitest';
import {
  Arena,
  type ArenaOptions,
  claimCpu,
  type Cpu,
  type CpuOptions,
  enterCpu,
  freePageCount,
  leaveCpu,
  reserveSlot,
  takePages,
} from '@umbuf/memory';
import { fsck, Uma, type Zone } from '../../src/index.ts';

export interface Virtual {
  readonly arena: Arena;
  readonly umas: readonly Uma[];
}

/** An arena (1 MiB, level none unless said otherwise) with every CPU claimed and attached. */
export function virtualCpus(cpus: number, options: Partial<ArenaOptions> = {}): Virtual {
  const arena = Arena.create({ bytes: 1 << 20, ...options, cpus });
  const umas = Array.from({ length: cpus }, () => attachCpu(arena));
  return { arena, umas };
}

export function attachCpu(arena: Arena, options: CpuOptions = {}): Uma {
  return Uma.attach(claimCpu(arena, { manualLeave: true, ...options }));
}

export function handTop(uma: Uma): number {
  return uma.words[uma.cpu.handTop]!;
}

/** Nothing in hand, and the arena as fsck wants it; returns the live items by zone. */
export function expectClean(...umas: readonly Uma[]): Readonly<Record<string, number>> {
  for (const uma of umas) expect(handTop(uma), `hand of CPU ${uma.cpu.number}`).toBe(0);
  const report = fsck(umas[0]!);
  expect(report.violations).toEqual([]);
  return report.live;
}

/** Allocates `count` items; every one must be had. */
export function allocAll(zone: Zone, count: number, flags = 1): number[] {
  return Array.from({ length: count }, () => {
    const item = zone.alloc(flags);
    expect(item).not.toBe(0);
    return item;
  });
}

/** Takes free pages out of the pools, in runs that no keg sees, until `left` are left. */
export function takeAllPages(uma: Uma, left: number): void {
  for (let domain = 0; domain < uma.arena.domains; domain++) {
    while (freePageCount(uma.arena) > left) {
      const slot = reserveSlot(uma.cpu);
      const page = takePages(uma.cpu, 1, domain, slot);
      uma.words[slot] = 0;
      uma.words[uma.cpu.handTop]! -= 1;
      if (page === 0) break;
    }
  }
}

export function leave(uma: Uma): void {
  leaveCpu(uma.cpu);
}

export function enter(uma: Uma): void {
  if (uma.words[uma.cpu.entered] === 0) enterCpu(uma.cpu);
}

/** What `operation` throws; fails when it does not. */
export function thrownBy(operation: () => unknown): unknown {
  try {
    operation();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

export type { Cpu };
