/**
 * counter(9): 64-bit counters that each CPU adds to on a line of its own, plainly, and that anyone
 * may read. A counter is the word of CPU 0; that of CPU c lies c lines behind.
 *
 * - Only the thread that holds a CPU number adds on that number's line, in any state of the CPU,
 *   so adding needs no atomic and costs one addition in memory.
 * - A reader loads each line with `Atomics.load` of the same width. A plain 64-bit store does not
 *   tear on the 64-bit engines that we run on (ECMAScript alone would let it; two 32-bit halves do
 *   go backwards for readers). So what one reader sees of a counter that only grows never shrinks.
 *   Two counters are not read at one moment: frees may look greater than allocs.
 * - Lines belong to numbers, not to threads: what a dead CPU counted stays, and the next holder of
 *   its number goes on from there. Nothing is ever reset (the kernel's counter_u64_zero races with
 *   adders); take the difference of two snapshots instead.
 */

import type { Arena, Cpu } from '@umbuf/memory';
import { LINE_COUNTERS } from './layout.ts';

/** Index of a counter's word for CPU 0 among the arena's 64-bit words. */
export type Counter = number;

/** Adds 1 to the calling CPU's share (counter_u64_add of 1). */
export function counterIncrement(cpu: Cpu, counter: Counter): void {
  cpu.longs[counter + cpu.number * LINE_COUNTERS]! += 1n;
}

/**
 * Adds `delta` to the calling CPU's share, modulo 2^64 (counter_u64_add). Nothing is checked:
 * `counter` must come from `counterAt`, and the caller must hold the CPU.
 */
export function counterAdd(cpu: Cpu, counter: Counter, delta: bigint): void {
  cpu.longs[counter + cpu.number * LINE_COUNTERS]! += delta;
}

/** The sum over all CPU numbers, as a signed 64-bit integer (counter_u64_fetch). */
export function counterFetch(arena: Arena, counter: Counter): bigint {
  let sum = 0n;
  for (let number = 0; number < arena.cpus; number++) {
    sum += Atomics.load(arena.longs, counter + number * LINE_COUNTERS);
  }
  return BigInt.asIntN(64, sum);
}

/** The share of one CPU number, over all its holders so far. */
export function counterFetchCpu(arena: Arena, counter: Counter, number: number): bigint {
  return Atomics.load(arena.longs, counter + number * LINE_COUNTERS);
}
