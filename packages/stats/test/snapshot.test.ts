/** Snapshots: what is read first, and readings at one moment. */

import { Arena, claimCpu, enterCpu, leaveCpu } from '@umbuf/memory';
import { expect, test } from 'vitest';
import { StatisticRegistry, takeSnapshot, takeSnapshotAsync } from '../src/index.ts';

function boot(): {
  registry: StatisticRegistry;
  order: string[];
  cpus: ReturnType<typeof claimCpu>[];
} {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
  const cpus = [0, 1].map((number) => claimCpu(arena, { number, manualLeave: true }));
  const registry = new StatisticRegistry(arena);
  const order: string[] = [];
  for (const path of ['z.allocs', 'a.frees', 'a.allocs', 'z.frees']) {
    const read = (): number => order.push(path);
    const readFirst = path.endsWith('frees');
    registry.add({ path, description: '', kind: 'counter', readFirst, read });
  }
  return { registry, order, cpus };
}

test('frees are read before allocs, and the values stand by path', () => {
  const { registry, order } = boot();
  const snapshot = takeSnapshot(registry);
  expect(order).toEqual(['a.frees', 'z.frees', 'a.allocs', 'z.allocs']);
  expect([...snapshot.values]).toEqual([
    ['a.allocs', 3],
    ['a.frees', 1],
    ['z.allocs', 4],
    ['z.frees', 2],
  ]);
  expect(snapshot).toMatchObject({ exact: false, unanswered: [] });
});

test('with quiesce the snapshot says that it is exact, or who was not still', async () => {
  const { registry, cpus } = boot();
  const [cpu, other] = cpus as [ReturnType<typeof claimCpu>, ReturnType<typeof claimCpu>];
  const quiesce = { cpu, answerMs: 5 };
  expect(takeSnapshot(registry, 'a', { quiesce })).toMatchObject({ exact: true, unanswered: [] });
  enterCpu(other);
  expect(takeSnapshot(registry, 'a', { quiesce })).toMatchObject({ exact: false, unanswered: [1] });
  setTimeout(() => leaveCpu(other), 2);
  const later = await takeSnapshotAsync(registry, 'z', { quiesce: { cpu, answerMs: 10_000 } });
  expect(later).toMatchObject({ exact: true, unanswered: [] });
  expect([...later.values.keys()]).toEqual(['z.allocs', 'z.frees']);
});
