import { Arena, ArgumentError, claimCpu, type Cpu, enterCpu, releaseCpu } from '@umbuf/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  counterAdd,
  counterFetch,
  counterFetchCpu,
  counterIncrement,
  createCounters,
  differenceOf,
  findCounters,
  listCounters,
  StatisticRegistry,
  takeSnapshot,
} from '../src/index.ts';

const CPUS = 3;
let arena: Arena;
let cpu: Cpu;
let other: Cpu;

beforeEach(() => {
  arena = Arena.create({ bytes: 1 << 20, cpus: CPUS });
  cpu = claimCpu(arena, { manualLeave: true });
  other = claimCpu(arena, { manualLeave: true });
  enterCpu(cpu);
  enterCpu(other);
});

describe('counters', () => {
  it('sum what every CPU added, to 64 bits', () => {
    const [word] = createCounters(cpu, 'vm.test', 1)!.words as [number];
    counterIncrement(cpu, word);
    counterAdd(other, word, 2n ** 53n);
    expect(counterFetch(arena, word)).toBe(2n ** 53n + 1n);
    expect(counterFetchCpu(arena, word, other.number)).toBe(2n ** 53n);
    counterAdd(cpu, word, -2n);
    expect(counterFetch(arena, word)).toBe(2n ** 53n - 1n);
  });

  it('wrap at 64 bits as the kernel does', () => {
    const [word] = createCounters(cpu, 'vm.test', 1)!.words as [number];
    counterAdd(cpu, word, 2n ** 63n - 1n);
    counterIncrement(other, word);
    expect(counterFetch(arena, word)).toBe(-(2n ** 63n));
  });

  it('stand 128 bytes apart per CPU, and none shares a word with another', () => {
    const sets = [createCounters(cpu, 'a', 40)!, createCounters(other, 'b', 16)!];
    const owners = new Map<number, number>();
    const seen = new Set<number>();
    for (const word of sets.flatMap((set) => set.words)) {
      for (let number = 0; number < CPUS; number++) {
        const at = word + number * 16;
        expect(seen.has(at)).toBe(false);
        seen.add(at);
        const line = Math.floor(at / 16);
        expect(owners.get(line) ?? number).toBe(number);
        owners.set(line, number);
      }
    }
    expect(seen.size).toBe(56 * CPUS);
  });

  it('go on from where the last holder of the number stopped', () => {
    const [word] = createCounters(cpu, 'vm.test', 1)!.words as [number];
    counterAdd(other, word, 5n);
    releaseCpu(other);
    const next = claimCpu(arena, { manualLeave: true, number: other.number });
    counterIncrement(next, word);
    expect(counterFetchCpu(arena, word, other.number)).toBe(6n);
  });
});

describe('counter sets', () => {
  it('are found by name through another view of the arena, with their descriptions', () => {
    const made = createCounters(cpu, 'vm.uma.test.stats', [
      { name: 'allocs', description: 'items allocated' },
      { name: 'frees', description: 'items freed – in all' },
    ])!;
    createCounters(cpu, 'later', 2);
    const view = Arena.attach(arena.handle());
    expect(findCounters(view, 'vm.uma.test.stats')).toEqual(made);
    expect(listCounters(view).map((set) => set.name)).toEqual(['vm.uma.test.stats', 'later']);
    expect(findCounters(view, 'vm.uma')).toBeUndefined();
  });

  it('are made once: the second maker gets the first one, or an error when they differ', () => {
    const first = createCounters(cpu, 'vm.test', 3);
    expect(createCounters(other, 'vm.test', 3)).toEqual(first);
    expect(() => createCounters(other, 'vm.test', 4)).toThrow(ArgumentError);
    expect(listCounters(arena)).toHaveLength(1);
  });

  it('refuse bad names and numbers, and make nothing', () => {
    for (const name of ['', 'a b', '.a', 'a..b', 'a\0b']) {
      expect(() => createCounters(cpu, name, 1)).toThrow(ArgumentError);
    }
    for (const count of [0, -1, 1.5, 1025]) {
      expect(() => createCounters(cpu, 'a', count)).toThrow(ArgumentError);
    }
    const twice = { name: 'x', description: '' };
    expect(() => createCounters(cpu, 'a', [twice, twice])).toThrow(/one name/);
    expect(listCounters(arena)).toEqual([]);
  });

  it('are undefined when the arena has no pages left, and those before stay', () => {
    let made = 0;
    while (createCounters(cpu, `set${made}`, 1024) !== undefined) made++;
    expect(made).toBeGreaterThan(0);
    expect(listCounters(arena)).toHaveLength(made);
  });
});

describe('registry and snapshots', () => {
  it('list counters of any maker and the layers own statistics by path', () => {
    const registry = new StatisticRegistry(arena);
    registry.add({ path: 'vm.uma.test.size', description: '', kind: 'gauge', read: () => 64 });
    createCounters(other, 'vm.uma.test.stats', [{ name: 'allocs', description: 'allocated' }]);
    expect(registry.list('vm.uma').map(({ path }) => path)).toEqual([
      'vm.uma.test.size',
      'vm.uma.test.stats.allocs',
    ]);
    expect(registry.list('vm.um')).toEqual([]);
    expect(registry.get('vm.uma.test.stats.allocs')?.description).toBe('allocated');
    const again = {
      path: 'vm.uma.test.size',
      description: '',
      kind: 'gauge',
      read: () => 1,
    } as const;
    expect(() => registry.add(again)).toThrow(ArgumentError);
    expect(registry.remove('vm.uma.test')).toBe(1);
    expect(registry.get('vm.uma.test.size')).toBeUndefined();
  });

  it('subtract counters, and keep the later value of everything else', () => {
    const registry = new StatisticRegistry(arena);
    let gauge = 7;
    registry.add({ path: 'g', description: '', kind: 'gauge', read: () => gauge });
    registry.add({ path: 't', description: '', kind: 'text', read: () => `is ${gauge}` });
    registry.add({ path: 'n', description: '', kind: 'counter', read: () => gauge });
    const [word] = createCounters(cpu, 'c', 1)!.words as [number];
    counterAdd(cpu, word, 10n);
    const before = takeSnapshot(registry);
    counterAdd(other, word, 5n);
    gauge = 9;
    const [late] = createCounters(cpu, 'late', 1)!.words as [number];
    counterAdd(cpu, late, 3n);
    const after = takeSnapshot(registry);
    const difference = differenceOf(before, after);
    expect(Object.fromEntries(difference.values)).toEqual({
      'c.0': 5n,
      'late.0': 3n,
      g: 9,
      n: 2,
      t: 'is 9',
    });
    expect(difference.elapsedMs).toBe(after.atMs - before.atMs);
  });
});
