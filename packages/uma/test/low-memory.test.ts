/** What a request does that finds no pages; with several CPUs on real workers: test/reclaim. */
import {
  type Address,
  Arena,
  enterCpu,
  freePageCount,
  leaveCpu,
  NULL,
  WouldBlockError,
} from '@umbuf/memory';
import { describe, expect, it } from 'vitest';
import {
  defineZone,
  M_NOVM,
  M_NOWAIT,
  M_WAITOK,
  onLowMemory,
  reclaim,
  type Uma,
  UmaRoot,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../src/index.ts';
import { LOW_MEMORY_PAUSE_MS, lowMemory } from '../src/low-memory.ts';
import { freePagesMin } from '../src/page-shortage.ts';
import { getPagesAsync } from '../src/wait.ts';
import { readZoneStatistics } from '../src/zone-statistics.ts';
import { allocAll, attachCpu, enter, expectClean, leave, virtualCpus } from './support/virtual.ts';

const R = UmaRoot.fields;
const PAGE = defineZone({ name: 'page', size: 4096 });
const OTHER = defineZone({ name: 'other', size: 4000 });
/** No buckets: each item goes to its keg. */
const BARE = defineZone({ name: 'bare', size: 4096, flags: ZoneFlag.NOBUCKET });

function events({ words, root }: Uma): number {
  return words[root + R.lowMemoryEvents.at]!;
}

/** Forgets that the last event was in vain, as time would. */
function letTimePass({ longs, root }: Uma): void {
  Atomics.store(longs, (root + R.lowMemoryInVain.at) >> 1, 0n);
}

/** Allocates until there is nothing more. */
function fill(zone: Zone, flags: number = M_NOWAIT): Address[] {
  const items: Address[] = [];
  for (;;) {
    const item = zone.alloc(flags);
    if (item === NULL) return items;
    items.push(item);
  }
}

function open(uma: Uma, definition: ZoneDefinition): Zone {
  enter(uma);
  return uma.open(definition);
}

describe('M_NOWAIT without pages', () => {
  it('has what this CPU caches, in whatever zone', () => {
    const { umas } = virtualCpus(1);
    const [zone, other] = [open(umas[0]!, PAGE), open(umas[0]!, OTHER)];
    const items = fill(other);
    expect(zone.alloc(M_NOWAIT)).toBe(NULL);
    for (const item of items.slice(0, 40)) other.free(item);
    // Right behind a fruitless attempt: what this CPU sees itself it looks at each time.
    expect(allocAll(zone, 35)).toHaveLength(35);
    expectClean(umas[0]!);
  });

  it('has what idle CPUs cache', () => {
    const { umas } = virtualCpus(2);
    const [zone, other] = [open(umas[0]!, PAGE), open(umas[1]!, OTHER)];
    const items = fill(other);
    const two = items.splice(0, 2);
    for (const item of two) other.free(item);
    leave(umas[1]!);
    letTimePass(umas[0]!);
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
    expectClean(umas[0]!);
  });

  it('asks running CPUs, does not wait for them, and has it when they have answered', () => {
    const { umas } = virtualCpus(2);
    const [zone, other] = [open(umas[0]!, PAGE), open(umas[1]!, OTHER)];
    for (const item of allocAll(other, 4)) other.free(item);
    const cached = other.statistics().cached;
    expect(cached).toBeGreaterThan(1);
    fill(zone);
    expect(events(umas[0]!)).toBeGreaterThan(0);
    expect(other.statistics().cached).toBe(cached);
    leave(umas[1]!);
    // Its answer put the buckets on the queues, where everybody finds them.
    expect(other.statistics().cached).toBe(0);
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
  });

  it('runs one event for a full arena, and none again for a while', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, PAGE);
    fill(zone);
    const before = events(umas[0]!);
    const from = performance.now();
    for (let attempt = 0; attempt < 50; attempt++) expect(zone.alloc(M_NOWAIT)).toBe(NULL);
    const periods = Math.ceil((performance.now() - from) / LOW_MEMORY_PAUSE_MS);
    expect(events(umas[0]!) - before).toBeLessThanOrEqual(periods);
    letTimePass(umas[0]!);
    zone.alloc(M_NOWAIT);
    expect(events(umas[0]!) - before).toBeGreaterThan(0);
  });

  it('goes past the event that another CPU runs, and past none that a dead one ran', () => {
    const { umas } = virtualCpus(3);
    const [mine, dead] = [umas[0]!, umas[1]!];
    const zone = open(mine, PAGE);
    fill(zone);
    letTimePass(mine);
    const owner = mine.root + R.lowMemoryOwner.at;
    mine.words[owner] = dead.cpu.lockWord;
    const before = events(mine);
    expect(lowMemory(mine, 0)).toBe(false);
    expect(events(mine)).toBe(before);
    expect(mine.words[owner]).toBe(dead.cpu.lockWord);
    mine.words[owner] = 0;
    lowMemory(mine, 0);
    expect(events(mine)).toBe(before + 1);
  });

  it('M_NOVM and a keg that may not ask cause no event', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, BARE);
    fill(zone);
    letTimePass(umas[0]!);
    const before = events(umas[0]!);
    expect(zone.alloc(M_NOWAIT | M_NOVM)).toBe(NULL);
    expect(events(umas[0]!)).toBe(before);
  });

  it('a limit that is reached causes no event', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, BARE);
    zone.setMax(3);
    allocAll(zone, 3);
    expect(zone.alloc(M_NOWAIT)).toBe(NULL);
    expect(events(umas[0]!)).toBe(0);
  });

  it('a callback that allocates in the event fails, without another event', () => {
    const { umas } = virtualCpus(1);
    const got: Address[] = [];
    const zone = open(umas[0]!, BARE);
    const greedy = open(
      umas[0]!,
      defineZone({
        name: 'greedy',
        size: 4096,
        fini: () => {
          got.push(zone.alloc(M_NOWAIT), zone.alloc(M_WAITOK));
        },
      }),
    );
    const item = greedy.alloc(M_NOWAIT);
    fill(zone);
    greedy.free(item);
    letTimePass(umas[0]!);
    // Two slabs of it were cached: the fini of each asks twice, before its page is back.
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
    expect(got.slice(0, 2)).toEqual([NULL, NULL]);
    expectClean(umas[0]!);
  });

  it('what a callback throws in the event is thrown by the next operation without a result', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, BARE);
    const definition = {
      name: 'throws',
      size: 4096,
      flags: ZoneFlag.NOBUCKET,
      fini: (): void => {
        throw new Error('fini');
      },
    };
    const throws = open(umas[0]!, defineZone(definition));
    const item = throws.alloc(M_NOWAIT);
    fill(zone);
    throws.free(item);
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
    expect(() => fill(zone)).toThrow('fini');
    expectClean(umas[0]!);
  });
});

describe('handlers', () => {
  it('are called once for each event, before the reclaim, until they are taken off', () => {
    const { umas } = virtualCpus(1);
    const uma = umas[0]!;
    const [zone, other] = [open(uma, BARE), open(uma, OTHER)];
    const hoard = fill(other);
    let calls = 0;
    const off = onLowMemory(uma, () => {
      calls++;
      for (const item of hoard.splice(0, 4)) other.free(item);
    });
    letTimePass(uma);
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
    expect(calls).toBe(1);
    off();
    letTimePass(uma);
    fill(zone);
    expect(calls).toBe(1);
    expectClean(uma);
  });

  it('one that throws stops neither the others nor the reclaim', () => {
    const { umas } = virtualCpus(1);
    const uma = umas[0]!;
    const zone = open(uma, BARE);
    fill(zone);
    letTimePass(uma);
    let called = false;
    onLowMemory(uma, () => {
      throw new Error('handler');
    });
    onLowMemory(uma, () => {
      called = true;
    });
    expect(() => zone.alloc(M_NOWAIT)).toThrow('handler');
    expect(called).toBe(true);
    expect(uma.words[uma.root + R.lowMemoryOwner.at]).toBe(0);
  });
});

describe('M_WAITOK without pages', () => {
  it('has an item that a handler frees', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, BARE);
    const items = fill(zone);
    onLowMemory(umas[0]!, () => zone.free(items.pop() ?? NULL));
    for (let index = 0; index < 3; index++) expect(zone.alloc(M_WAITOK)).not.toBe(NULL);
    expectClean(umas[0]!);
  });

  it('has the pages that a handler frees, of slabs of another zone', () => {
    const { umas } = virtualCpus(1);
    const [zone, other] = [
      open(umas[0]!, defineZone({ name: 'large', size: 9000 })),
      open(umas[0]!, OTHER),
    ];
    const items = fill(other);
    let calls = 0;
    onLowMemory(umas[0]!, () => {
      // Not enough for a slab of three pages at first.
      calls++;
      for (const item of items.splice(0, calls)) other.free(item);
    });
    expect(zone.alloc(M_WAITOK)).not.toBe(NULL);
    expect(calls).toBeGreaterThan(1);
    expectClean(umas[0]!);
  });

  it('gives up when its time is up, and says so', () => {
    const { umas } = virtualCpus(1);
    const zone = open(umas[0]!, BARE);
    fill(zone);
    const from = performance.now();
    expect(zone.allocWait(0, { timeoutMs: 20 })).toEqual({ item: NULL, failure: 'timeout' });
    expect(performance.now() - from).toBeGreaterThanOrEqual(19);
    expectClean(umas[0]!);
  });

  it('throws what an init throws, with nothing left of the pages that were granted', () => {
    const { umas } = virtualCpus(1);
    let fail = false;
    const zone = open(umas[0]!, BARE);
    const items = fill(zone);
    const bad = open(
      umas[0]!,
      defineZone({
        name: 'bad',
        size: 4096,
        flags: ZoneFlag.NOBUCKET,
        init: () => {
          if (fail) throw new Error('init');
          return 0;
        },
      }),
    );
    onLowMemory(umas[0]!, () => zone.free(items.pop() ?? NULL));
    fail = true;
    expect(() => bad.alloc(M_WAITOK)).toThrow('init');
    expectClean(umas[0]!);
  });
});

describe('a thread that may not block', () => {
  function nonBlocking(): { uma: Uma; zone: Zone; other: Zone } {
    const arena = Arena.create({ bytes: 1 << 20, cpus: 1 });
    const uma = attachCpu(arena, { mayBlock: false });
    return { uma, zone: open(uma, BARE), other: open(uma, OTHER) };
  }

  it('reclaims with M_WAITOK too, and then names the other form', () => {
    const { uma, zone, other } = nonBlocking();
    const items = fill(other);
    for (const item of items.splice(0, 2)) other.free(item);
    expect(zone.alloc(M_WAITOK)).not.toBe(NULL);
    expect(() => {
      for (;;) zone.alloc(M_WAITOK);
    }).toThrow(WouldBlockError);
    expectClean(uma);
  });

  it('waits asynchronously for pages, and for items of its keg', async () => {
    const { uma, zone, other } = nonBlocking();
    const items = fill(other);
    expect(zone.alloc(M_NOWAIT)).toBe(NULL);
    const worthWhile = getPagesAsync(uma, zone.record, M_WAITOK);
    leave(uma);
    await new Promise((resolve) => setTimeout(resolve, 3));
    enterCpu(uma.cpu);
    for (const item of items.splice(0, 2)) other.free(item);
    leaveCpu(uma.cpu);
    expect(await worthWhile).toBe('again');
    enterCpu(uma.cpu);
    expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
    expectClean(uma);
  });

  it('gives up in time', async () => {
    const { uma, zone } = nonBlocking();
    fill(zone);
    expect(await getPagesAsync(uma, zone.record, M_WAITOK, { timeoutMs: 10 })).toBe('timeout');
    leave(uma);
    expect(await zone.allocAsync({ timeoutMs: 10 })).toEqual({ item: NULL, failure: 'timeout' });
  });

  it('allocAsync has the page that another zone gives back, and aborts', async () => {
    const { uma, zone, other } = nonBlocking();
    const items = fill(other);
    const pending = zone.allocAsync();
    leave(uma);
    await new Promise((resolve) => setTimeout(resolve, 3));
    enterCpu(uma.cpu);
    for (const item of items.splice(0, 2)) other.free(item);
    leaveCpu(uma.cpu);
    expect((await pending).item).not.toBe(NULL);
    const controller = new AbortController();
    const aborted = Promise.all(
      Array.from({ length: 5 }, () => zone.allocAsync({ signal: controller.signal })),
    );
    setTimeout(() => controller.abort(new Error('enough')), 5);
    await expect(aborted).rejects.toThrow('enough');
    leave(uma);
    expectClean(uma);
  });
});

describe('bucketdisable', () => {
  it('is set while fewer pages than the minimum are free, and looked at by each global reclaim', () => {
    const { umas, arena } = virtualCpus(1, { bytes: 4 << 20 });
    const uma = umas[0]!;
    const zone = open(uma, BARE);
    expect(freePagesMin(uma)).toBe(Math.ceil((arena.pages - arena.firstPage) / 200));
    expect(uma.bucketsDisabled()).toBe(false);
    const items = fill(zone);
    expect(uma.bucketsDisabled()).toBe(true);
    for (const item of items) zone.free(item);
    reclaim(uma, 'trim');
    expect(freePageCount(arena)).toBeGreaterThan(freePagesMin(uma));
    expect(uma.bucketsDisabled()).toBe(false);
  });

  it('makes no bucket, while buckets that exist keep working', () => {
    const { umas } = virtualCpus(1);
    const uma = umas[0]!;
    const zone = open(uma, PAGE);
    for (const item of allocAll(zone, 6)) zone.free(item);
    Atomics.store(uma.words, uma.root + R.bucketDisable.at, 1);
    const buckets = (): number =>
      uma.bucketZones.reduce((sum, record) => {
        const { allocs, frees } = readZoneStatistics(uma, record);
        return sum + allocs - frees;
      }, 0);
    const before = buckets();
    const items = allocAll(zone, 30);
    for (const item of items) zone.free(item);
    expect(buckets()).toBeLessThanOrEqual(before);
    expect(zone.statistics().cached).toBeGreaterThan(0);
    expectClean(uma);
  });
});
