/** Takes and puts runs as a keg does: through a hand slot that is void again afterwards. */
import {
  type Address,
  type Cpu,
  HandKind,
  PAGE_SHIFT,
  putPages,
  releaseSlot,
  reserveSlot,
  takePages,
} from '../../src/index.ts';

/** First page of a run of `pages`, or 0. */
export function takeRun(cpu: Cpu, pages: number, domain = 0): number {
  const slot = reserveSlot(cpu);
  const address: Address = takePages(cpu, pages, domain, slot);
  cpu.words[slot] = HandKind.none;
  releaseSlot(cpu, slot);
  return address >> PAGE_SHIFT;
}

export function putRun(cpu: Cpu, page: number, pages: number): void {
  const slot = reserveSlot(cpu);
  cpu.words[slot + 1] = page;
  cpu.words[slot + 2] = pages;
  cpu.words[slot] = HandKind.pages;
  putPages(cpu, slot);
  releaseSlot(cpu, slot);
}

/** Integers from 0 to below `bound`, the same for the same seed (xorshift32). */
export function seeded(seed: number): (bound: number) => number {
  let state = seed | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}
