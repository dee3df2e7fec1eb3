/** Static records and roots: alignment, zeroing, publishing, exhaustion, a creator that dies. */
import { expect, test } from 'vitest';
import {
  Arena,
  checkPagePool,
  claimCpu,
  type Cpu,
  lockRegistry,
  PAGE_SIZE,
  pagesInUse,
  recover,
  Root,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from '../src/index.ts';
import { died, dyingAt } from './support/dying-cpu.ts';
import { putRun, takeRun } from './support/pages.ts';

function makeCpu(bytes = 1 << 20, domains = 1): Cpu {
  const arena = Arena.create({ bytes, cpus: 3, domains, backing: 'shared-array-buffer' });
  return claimCpu(arena, { manualLeave: true });
}

function publish(cpu: Cpu, bytes: number): number {
  lockRegistry(cpu);
  const address = staticSpace(cpu, bytes);
  if (address !== 0) cpu.words[STATIC_NEXT] = address + bytes;
  unlockRegistry(cpu);
  return address;
}

test('records are zeroed, 128-byte aligned and do not overlap', () => {
  const cpu = makeCpu();
  let end = 0;
  for (const bytes of [4, 128, 132, 1000, 3 * PAGE_SIZE, 64]) {
    cpu.bytes.fill(0xff, cpu.words[STATIC_NEXT]!, cpu.words[STATIC_NEXT + 1]!);
    const address = publish(cpu, bytes);
    expect(address % 128).toBe(0);
    expect(address === 0 || address >= end || address + bytes <= end).toBe(true);
    expect(cpu.bytes.subarray(address, address + bytes).every((byte) => byte === 0)).toBe(true);
    cpu.bytes.fill(1, address, address + bytes);
    end = address + bytes;
  }
});

test('space that was not published is given out again, zeroed', () => {
  const cpu = makeCpu();
  lockRegistry(cpu);
  const abandoned = staticSpace(cpu, 256);
  cpu.bytes.fill(7, abandoned, abandoned + 256);
  unlockRegistry(cpu);
  const next = publish(cpu, 256);
  expect(next).toBe(abandoned);
  expect(cpu.bytes[next]).toBe(0);
});

test('each root is a word of its own in the header', () => {
  const roots = Object.values(Root);
  expect(new Set(roots).size).toBe(roots.length);
  for (const root of roots) {
    expect(root).toBeGreaterThanOrEqual(16);
    expect(root).toBeLessThan(32);
  }
});

test('an arena without pages gives NULL, and what is left of smaller runs and other domains is used', () => {
  const cpu = makeCpu(8 << 20, 2);
  // Fill domain 0 whole, and domain 1 but for two pages.
  const runs: number[] = [];
  for (let page = takeRun(cpu, 1, 0); page !== 0; page = takeRun(cpu, 1, 0)) runs.push(page);
  const high: number[] = [];
  for (let page = takeRun(cpu, 1, 1); page !== 0; page = takeRun(cpu, 1, 1)) high.push(page);
  expect(publish(cpu, 64)).toBe(0);
  putRun(cpu, high[4]!, 1);
  const address = publish(cpu, PAGE_SIZE);
  expect(address).toBe(high[4]! * PAGE_SIZE);
  expect(publish(cpu, 64)).toBe(0);
});

test('a creator that dies at any entry costs at most its unused chunk, and blocks nobody', () => {
  for (let point = 1; ; point++) {
    const cpu = makeCpu();
    const other = claimCpu(cpu.arena, { manualLeave: true });
    const ended = !died(() => publish(dyingAt(cpu, point), 600));
    expect(recover(other, cpu.number, cpu.incarnation)).toBe('recovered');
    expect(checkPagePool(other, 0)).toEqual([]);
    const chunk = cpu.words[STATIC_NEXT + 1] === 0 ? 0 : 4;
    expect(pagesInUse(cpu.arena), `died at entry ${point}`).toBe(chunk);
    expect(publish(other, 600)).not.toBe(0);
    expect(pagesInUse(cpu.arena)).toBe(4);
    if (ended) {
      expect(point).toBeGreaterThan(6);
      break;
    }
  }
});
