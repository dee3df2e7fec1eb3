/**
 * Checks the queue of a page pool against its invariants, for `fsck`, stress runs and tests. Takes the
 * pool's lock; exact in what the lock protects.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { CpuRecord, PagePool } from '../layout/records.ts';
import { lockMutex, unlockMutex } from '../sync/mutex.ts';
import { findRun } from './page-run.ts';
import { PageCell, pageCell, PageWait } from './page-wait.ts';

const C = CpuRecord.fields;
const STATE = C.pageState.at;
const POOL = PagePool.fields;

/**
 * What is wrong, in words: a queue with a loop or another end than its tail, a waiting cell that is not
 * on it, another one that is, and a waiter for whom there is a run.
 */
export function checkPageQueue(cpu: Cpu, domain: number): string[] {
  const { words, arena } = cpu;
  const pool = arena.poolTable + domain * PagePool.words;
  const wrong: string[] = [];
  lockMutex(cpu, pool);
  const linked = new Set<number>();
  let last = 0;
  for (let cell = words[pool + POOL.waitHead.at]!; cell !== 0; ) {
    if (linked.has(cell)) {
      wrong.push(`the queue of domain ${domain} comes back to cell ${cell}`);
      break;
    }
    linked.add(cell);
    last = cell;
    const wanted = words[cell + C.pageWanted.at - STATE]!;
    if (findRun(words, pool, arena.pageTable, wanted) !== 0) {
      wrong.push(`cell ${cell} waits for ${wanted} pages, which domain ${domain} has`);
    }
    cell = words[cell + C.pageNext.at - STATE]!;
  }
  const tail = words[pool + POOL.waitTail.at]!;
  if (tail !== last) wrong.push(`the queue of domain ${domain} ends at ${last}, not at ${tail}`);
  for (let number = 0; number < arena.cpus; number++) {
    for (const which of [PageWait.blocking, PageWait.asynchronous]) {
      const cell = pageCell(arena, number, which);
      const state = Atomics.load(words, cell);
      if (state !== PageCell.free && words[cell + C.pagePool.at - STATE] !== pool) continue;
      if ((state === PageCell.waiting) !== linked.has(cell)) {
        wrong.push(`cell ${cell} of CPU ${number} in state ${state} is linked wrongly`);
      }
    }
  }
  unlockMutex(cpu, pool);
  return wrong;
}
