/**
 * fsck outside the exploration: at the end of a run nobody else moves, so the arena is inspected by
 * ordinary code on a CPU number of its own. Imported with `?native`, which the explorer leaves alone.
 */
import { Arena, claimCpu, leaveCpu } from '@umbuf/memory';
import { fsck, type FsckReport, Uma } from '@umbuf/uma';

/** An inspector of the arena in `memory`, as CPU `number`. To be made when all zones are. */
export function inspector(memory: SharedArrayBuffer, number: number): () => FsckReport {
  const arena = Arena.attach({ umbufArena: 1, memory });
  // It may not block: a lock that a run leaves held is an error, not a hang.
  const cpu = claimCpu(arena, { number, manualLeave: true, mayBlock: false });
  const uma = Uma.attach(cpu);
  leaveCpu(cpu);
  return () => {
    const report = fsck(uma);
    leaveCpu(cpu);
    return report;
  };
}
