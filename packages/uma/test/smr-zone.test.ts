/** SMR zones, spec 2.11: what is freed is reused when no reader can see it, and not before. */

import { describe, expect, test } from 'vitest';
import { answerRequests, Panic, recover, releaseCpu, SectionError } from '@umbuf/memory';
import {
  BucketHeader,
  defineZone,
  DoubleFreeError,
  fsck,
  M_NOWAIT,
  reclaim,
  TRASH_WORD,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneDefinitionError,
  ZoneDomain,
  zoneDomain,
  ZoneFlag,
  ZoneMismatchError,
  ZoneRecord,
} from '../src/index.ts';
import { cacheOf, queueOf } from './support/inspect.ts';
import {
  allocAll,
  attachCpu,
  expectClean,
  handTop,
  leave,
  takeAllPages,
  thrownBy,
  virtualCpus,
} from './support/virtual.ts';

const levels = ['none', 'checks', 'invariants'] as const;

interface Setting {
  readonly umas: readonly Uma[];
  readonly zones: readonly Zone[];
}

/** Items of 2 KiB: buckets of a few. Every CPU has the zone open. */
function setUp(
  cpus: number,
  definition: Partial<ZoneDefinition> = {},
  level: (typeof levels)[number] = 'none',
): Setting {
  const { umas } = virtualCpus(cpus, { level });
  const wanted = defineZone({ name: 'z', size: 2048, flags: ZoneFlag.SMR, ...definition });
  return { umas, zones: umas.map((uma) => uma.open(wanted)) };
}

/** Tags of the buckets on the queue, head first. */
function tagsOf(zone: Zone): number[] {
  const { words } = zone.uma;
  const tags: number[] = [];
  let bucket = words[zoneDomain(zone.uma, zone.record, 0) + ZoneDomain.fields.head.at]!;
  for (; bucket !== 0; bucket = words[bucket + BucketHeader.fields.link.at]!) {
    tags.push(words[bucket + BucketHeader.fields.seq.at]!);
  }
  return tags;
}

/** Frees items of `zone` until a full free bucket has gone to the queue; returns what is left. */
function freeUntilQueued(zone: Zone, items: number[]): number[] {
  const before = zone.statistics().flushes;
  const left = [...items];
  // The first flush only loads a free bucket, where the cache has none.
  while (tagsOf(zone).filter((tag) => tag !== 0).length === 0) zone.free(left.pop()!);
  expect(zone.statistics().flushes).toBeGreaterThan(before);
  return left;
}

describe.each(levels)('level %s', (level) => {
  test('what a reader may see is not handed out again until its section has ended', () => {
    const { zones, umas } = setUp(2, {}, level);
    const [zone, other] = zones;
    const reader = other!.getSmr()!;
    const items = allocAll(zone!, 40);
    reader.enter();
    const freed = new Set(items);
    for (const item of items) zone!.free(item);
    for (const item of allocAll(zone!, 40)) {
      expect(freed.has(item)).toBe(false);
      zone!.free(item);
    }
    reader.exit();
    const again = allocAll(zone!, 40);
    expect(again.some((item) => freed.has(item))).toBe(true);
    for (const item of again) zone!.free(item);
    leave(umas[1]!);
    expectClean(...umas);
  });

  test('a freed item keeps its contents while it can be seen', () => {
    const { zones, umas } = setUp(2, {}, level);
    const { words } = umas[0]!;
    const items = allocAll(zones[0]!, 30);
    for (const item of items) words.fill(item, item >> 2, (item >> 2) + 512);
    const reader = zones[1]!.getSmr()!;
    reader.enter();
    for (const item of items) zones[0]!.free(item);
    reclaim(umas[0]!, 'drain-cpu');
    allocAll(zones[0]!, 20);
    for (const item of items) {
      expect(words.subarray(item >> 2, (item >> 2) + 512).every((word) => word === item)).toBe(
        true,
      );
    }
    reader.exit();
    leave(umas[1]!);
  });
});

test('items are freed to the free bucket, never to the alloc bucket', () => {
  const { zones } = setUp(1);
  const zone = zones[0]!;
  const items = allocAll(zone, 4);
  const before = cacheOf(zone).alloc.count;
  for (const item of items) zone.free(item);
  expect(cacheOf(zone).alloc.count).toBe(before);
  expect(cacheOf(zone).free.count + queueOf(zone).reduce((sum, count) => sum + count, 0)).toBe(4);
});

test('a full free bucket is tagged with a new sequence and queued behind the others', () => {
  const { zones, umas } = setUp(2);
  const [zone, other] = zones;
  const { words } = umas[0]!;
  other!.getSmr()!.enter();
  let items = freeUntilQueued(zone!, allocAll(zone!, 60));
  const first = tagsOf(zone!);
  expect(first).toHaveLength(1);
  while (tagsOf(zone!).length < 2) zone!.free(items.pop()!);
  const [older, newer] = tagsOf(zone!);
  expect(older).toBe(first[0]);
  expect(newer).toBe(older! + 2);
  // The lowest tag stands in the domain.
  const seq = zoneDomain(umas[0]!, zone!.record, 0) + ZoneDomain.fields.seq.at;
  expect(words[seq]).toBe(older);
  // An untagged bucket goes to the head, and is what the next refill takes.
  answerRequests(umas[0]!.cpu);
  expect(tagsOf(zone!)).toEqual([0, older, newer]);
  expect(words[seq]).toBe(0);
  const refills = zone!.statistics().refills;
  items = allocAll(zone!, 1);
  expect(zone!.statistics().refills).toBe(refills + 1);
  expect(tagsOf(zone!)).toEqual([older, newer]);
  expect(words[seq]).toBe(older);
  other!.getSmr()!.exit();
  leave(umas[1]!);
  expectClean(...umas);
});

test('while a reader is in the way a refill imports instead of waiting', () => {
  const { zones, umas } = setUp(2);
  const [zone, other] = zones;
  other!.getSmr()!.enter();
  freeUntilQueued(zone!, allocAll(zone!, 20));
  const pages = zone!.statistics().pages;
  allocAll(zone!, 20);
  expect(zone!.statistics().pages).toBeGreaterThan(pages);
  other!.getSmr()!.exit();
  const grown = zone!.statistics().pages;
  const queued = zone!.statistics().queued;
  expect(queued).toBeGreaterThan(0);
  const left = cacheOf(zone!).alloc.count;
  allocAll(zone!, left + 1);
  expect(zone!.statistics().queued).toBeLessThan(queued);
  expect(zone!.statistics().pages).toBe(grown);
  leave(umas[1]!);
  expectClean(...umas);
});

test('polls are few: one for a bucket that is due, none for a freshly filled one', () => {
  const { zones } = setUp(1);
  const zone = zones[0]!;
  const smr = zone.getSmr()!;
  for (let round = 0; round < 200; round++) {
    for (const item of allocAll(zone, 20)) zone.free(item);
  }
  const { advances, polls } = smr.statistics();
  expect(advances).toBeGreaterThan(100);
  // Two looks at each bucket: without the lock and under it.
  expect(polls).toBeLessThanOrEqual(2 * advances);
});

describe('callbacks', () => {
  function logged(log: string[]): Partial<ZoneDefinition> {
    return {
      dtor: (_zone, item, argument) => void log.push(`dtor ${item} ${argument}`),
      zfini: (_zone, item) => void log.push(`zfini ${item}`),
      zinit: () => 0,
    };
  }

  test('the dtor runs when no reader can see the item, in whoever takes the bucket', () => {
    const log: string[] = [];
    const { zones, umas } = setUp(3, logged(log));
    const [zone, taker, reader] = zones;
    const items = allocAll(zone!, 20);
    reader!.getSmr()!.enter();
    const left = freeUntilQueued(zone!, items);
    const queued = queueOf(zone!)[0]!;
    taker!.alloc(M_NOWAIT);
    expect(log).toEqual([]);
    reader!.getSmr()!.exit();
    allocAll(taker!, cacheOf(taker!).alloc.count + 1);
    expect(log.toSorted()).toEqual(
      items
        .slice(left.length)
        .toReversed()
        .slice(0, queued)
        .map((item) => `dtor ${item} 0`)
        .toSorted(),
    );
    for (const uma of umas.slice(1)) leave(uma);
    expectClean(...umas);
  });

  test('a throwing dtor is reported once and stops nothing', () => {
    const { umas } = virtualCpus(1);
    let dtors = 0;
    const zone = umas[0]!.open(
      defineZone({
        name: 'z',
        size: 2048,
        flags: ZoneFlag.SMR,
        dtor: () => {
          dtors++;
          throw new Error(`dtor ${dtors}`);
        },
      }),
    );
    freeUntilQueued(zone, allocAll(zone, 20));
    const queued = queueOf(zone)[0]!;
    expect(thrownBy(() => reclaim(umas[0]!, 'drain', zone.record))).toHaveProperty(
      'message',
      'dtor 1',
    );
    expect(dtors).toBe(queued);
    expect(queueOf(zone)).toEqual([]);
    expectClean(...umas);
  });

  test('a dtor that frees to the same zone', () => {
    const { umas } = virtualCpus(1);
    const uma = umas[0]!;
    const children = new Map<number, number>();
    const zone: Zone = uma.open(
      defineZone({
        name: 'z',
        size: 2048,
        flags: ZoneFlag.SMR,
        dtor: (_zone, item) => {
          const child = children.get(item);
          children.delete(item);
          if (child !== undefined) zone.free(child);
        },
      }),
    );
    const items = allocAll(zone, 40);
    for (let index = 0; index < 40; index += 2) children.set(items[index]!, items[index + 1]!);
    for (let index = 0; index < 40; index += 2) zone.free(items[index]!);
    for (let round = 0; round < 10; round++) {
      for (const item of allocAll(zone, 20)) zone.free(item);
    }
    expect(children.size).toBe(0);
    expect(expectClean(uma)['z']).toBe(0);
  });

  test('a ctor that refuses gives its item to nobody, and costs a free', () => {
    let refuse = false;
    const { zones, umas } = setUp(1, { ctor: () => (refuse ? 1 : 0) });
    allocAll(zones[0]!, 3);
    refuse = true;
    expect(zones[0]!.alloc(M_NOWAIT)).toBe(0);
    expect(expectClean(...umas)['z']).toBe(3);
  });

  test('a thread without the zone leaves tagged buckets to one that has it', () => {
    const { umas } = virtualCpus(2);
    let dtors = 0;
    const zone = umas[0]!.open(
      defineZone({ name: 'z', size: 2048, flags: ZoneFlag.SMR, dtor: () => void dtors++ }),
    );
    freeUntilQueued(zone, allocAll(zone, 20));
    const queued = queueOf(zone);
    expect(reclaim(umas[1]!, 'drain', zone.record).needOpener).toEqual(['z']);
    expect(queueOf(zone)).toEqual(queued);
    reclaim(umas[0]!, 'drain', zone.record);
    expect(dtors).toBe(queued[0]);
    expectClean(...umas);
  });
});

describe('trash', () => {
  test('is written when the goal is reached, and verified at the next allocation', () => {
    const { zones, umas } = setUp(2, {}, 'invariants');
    const [zone, other] = zones;
    const { words } = umas[0]!;
    other!.getSmr()!.enter();
    const items = allocAll(zone!, 20);
    for (const item of items) words[item >> 2] = 77;
    const left = freeUntilQueued(zone!, items);
    for (const item of items.slice(left.length)) expect(words[item >> 2]).toBe(77);
    expect(fsck(umas[0]!).violations).toEqual([]);
    other!.getSmr()!.exit();
    const taken = allocAll(zone!, cacheOf(zone!).alloc.count + 1).at(-1)!;
    expect(items).toContain(taken);
    expect(words[(taken >> 2) + 9]).toBe(TRASH_WORD);
    // Another item of that bucket, written to behind its expiry.
    const victim = items.find(
      (item) => item !== taken && !left.includes(item) && words[item >> 2] === TRASH_WORD,
    )!;
    words[victim >> 2] = 1;
    leave(umas[1]!);
    expect(fsck(umas[0]!).violations[0]).toMatch(/^12: /);
    expect(thrownBy(() => allocAll(zone!, 20))).toBeInstanceOf(Panic);
  });
});

describe('frees that cannot be', () => {
  test('inside a read section of any SMR: SectionError, nothing changed', () => {
    const { zones, umas } = setUp(1, {}, 'checks');
    const zone = zones[0]!;
    const item = zone.alloc(M_NOWAIT);
    for (const smr of [zone.getSmr()!, umas[0]!.smr('another')]) {
      smr.enter();
      expect(thrownBy(() => zone.free(item))).toBeInstanceOf(SectionError);
      smr.exit();
    }
    expect(zone.statistics().live).toBe(1);
    zone.free(item);
    expect(expectClean(...umas)['z']).toBe(0);
  });

  test('twice: DoubleFreeError at once, although the item is not reused yet', () => {
    const { zones } = setUp(1, {}, 'checks');
    const item = zones[0]!.alloc(M_NOWAIT);
    zones[0]!.free(item);
    expect(thrownBy(() => zones[0]!.free(item))).toBeInstanceOf(DoubleFreeError);
  });

  test('NULL is nothing', () => {
    const { zones, umas } = setUp(1);
    zones[0]!.free(0);
    expect(zones[0]!.statistics().frees).toBe(0);
    expectClean(...umas);
  });
});

test('an allocation inside a section never waits, and runs no dtor', () => {
  let dtors = 0;
  const { zones, umas } = setUp(1, { dtor: () => void dtors++ });
  const zone = zones[0]!;
  freeUntilQueued(zone, allocAll(zone, 20));
  zone.getSmr()!.enter();
  allocAll(zone, 30);
  expect(dtors).toBe(0);
  zone.getSmr()!.exit();
  allocAll(zone, cacheOf(zone).alloc.count + 1);
  expect(dtors).toBeGreaterThan(0);
  expectClean(...umas);
});

test('NOBUCKET: each free waits for readers, then gives the item to the keg', () => {
  const log: string[] = [];
  const { zones, umas } = setUp(2, {
    flags: ZoneFlag.SMR | ZoneFlag.NOBUCKET,
    dtor: (_zone, item) => void log.push(`dtor ${item}`),
  });
  const item = zones[0]!.alloc(M_NOWAIT);
  const free = zones[0]!.statistics().kegFree;
  zones[0]!.free(item);
  expect(log).toEqual([`dtor ${item}`]);
  expect(zones[0]!.statistics().kegFree).toBe(free + 1);
  expect(zones[0]!.getSmr()!.statistics().advances).toBe(1);
  expectClean(...umas);
});

test('a CPU that may not block puts off a free that has to wait for a reader', () => {
  const { arena, umas } = virtualCpus(2);
  releaseCpu(umas[0]!.cpu);
  const main = attachCpu(arena, { mayBlock: false });
  const definition = defineZone({
    name: 'z',
    size: 2048,
    flags: ZoneFlag.SMR | ZoneFlag.NOBUCKET,
  });
  const [zone, reader] = [main.open(definition), umas[1]!.open(definition).getSmr()!];
  const item = zone.alloc(M_NOWAIT);
  reader.enter();
  zone.free(item);
  expect(handTop(main)).toBeGreaterThan(0);
  leave(main);
  expect(handTop(main), 'the reader is still there').toBeGreaterThan(0);
  reader.exit();
  zone.free(0);
  leave(main);
  expect(handTop(main)).toBe(0);
  leave(umas[1]!);
  expect(expectClean(main)['z']).toBe(0);
});

test('short of buckets a free waits for readers once and uses its bucket again', () => {
  const { zones, umas } = setUp(1);
  const zone = zones[0]!;
  const items = allocAll(zone, 40);
  const left = freeUntilQueued(zone, items);
  // No pages: the bucket zone has nothing but what its cache holds.
  takeAllPages(umas[0]!, 0);
  const hold: number[] = [];
  for (const bucketZone of umas[0]!.bucketZones) {
    const cache = bucketZone + ZoneRecord.words + umas[0]!.cpu.number * 32;
    for (let item = -1; item !== 0; ) {
      item = umas[0]!.operations.alloc(cache, M_NOWAIT, 0x10000000) as number;
      if (item !== 0) hold.push(item);
    }
  }
  const kegFree = zone.statistics().kegFree;
  while (left.length > 0) zone.free(left.pop()!);
  expect(zone.statistics().kegFree).toBeGreaterThan(kegFree);
  expect(cacheOf(zone).free.bucket).not.toBe(0);
  expect(handTop(umas[0]!)).toBe(0);
  expect(hold.length).toBeGreaterThan(0);
});

describe('drain, release, recovery', () => {
  test('drain-cpu flushes the alloc buckets and leaves what readers may see', () => {
    const { zones, umas } = setUp(2);
    const [zone, other] = zones;
    for (const item of allocAll(zone!, 5)) zone!.free(item);
    const { free } = cacheOf(zone!);
    expect(free.count).toBeGreaterThan(0);
    leave(umas[0]!);
    // The idle CPU is claimed.
    reclaim(umas[1]!, 'drain-cpu', other!.record);
    expect(cacheOf(zone!).free).toEqual(free);
    expect(cacheOf(zone!).alloc.bucket).toBe(0);
    expectClean(...umas);
  });

  test('a drain stops at the first bucket that a reader may see', () => {
    const { zones, umas } = setUp(2);
    const [zone, other] = zones;
    other!.getSmr()!.enter();
    freeUntilQueued(zone!, allocAll(zone!, 20));
    const tags = tagsOf(zone!);
    reclaim(umas[0]!, 'drain', zone!.record);
    expect(tagsOf(zone!)).toEqual(tags);
    other!.getSmr()!.exit();
    reclaim(umas[0]!, 'drain', zone!.record);
    expect(tagsOf(zone!)).toEqual([]);
    leave(umas[1]!);
    expectClean(...umas);
  });

  test('a CPU that goes offline tags its free bucket', () => {
    const { zones, umas } = setUp(2);
    const [zone, other] = zones;
    other!.getSmr()!.enter();
    const items = allocAll(other!, 3);
    for (const item of allocAll(zone!, 3)) zone!.free(item);
    releaseCpu(umas[0]!.cpu);
    expect(tagsOf(zone!).filter((tag) => tag !== 0)).toHaveLength(1);
    expect(cacheOf(zone!).free.bucket).toBe(0);
    reclaim(umas[1]!, 'drain', other!.record);
    expect(tagsOf(zone!).filter((tag) => tag !== 0)).toHaveLength(1);
    other!.getSmr()!.exit();
    for (const item of items) other!.free(item);
    releaseCpu(umas[1]!.cpu);
    const last = attachCpu(umas[0]!.arena);
    reclaim(last, 'drain-cpu');
    expect(zone!.statistics().pages).toBe(0);
    expectClean(last);
  });

  test('recovery tags the free bucket of the dead', () => {
    const { zones, umas } = setUp(3);
    const [zone, reader, supervisor] = zones;
    reader!.getSmr()!.enter();
    const items = allocAll(zone!, 3);
    for (const item of items) zone!.free(item);
    expect(recover(umas[2]!.cpu, 0, umas[0]!.cpu.incarnation)).toBe('recovered');
    const tagged = tagsOf(zone!).filter((tag) => tag !== 0);
    expect(tagged).toHaveLength(1);
    const got = allocAll(supervisor!, 30);
    for (const item of items) expect(got).not.toContain(item);
    reader!.getSmr()!.exit();
    const more = allocAll(supervisor!, cacheOf(supervisor!).alloc.count + 3);
    for (const item of items) expect(more).toContain(item);
    leave(umas[1]!);
    expectClean(umas[1]!, umas[2]!);
  });
});

describe('which SMR a zone has', () => {
  test('the flag alone gives it one of its own name', () => {
    const { zones, umas } = setUp(2);
    expect(zones[0]!.getSmr()).toBe(umas[0]!.smr('z'));
    expect(zones[1]!.getSmr()!.record).toBe(zones[0]!.getSmr()!.record);
    expect(umas[0]!.words[zones[0]!.record + ZoneRecord.fields.flags.at]! & ZoneFlag.SMR).not.toBe(
      0,
    );
  });

  test('zones share one by name', () => {
    const { umas } = virtualCpus(1);
    const [a, b] = ['a', 'b'].map((name) =>
      umas[0]!.open(defineZone({ name, size: 64, smr: 'shared' })),
    );
    expect(a!.getSmr()).toBe(b!.getSmr());
    expect(a!.getSmr()!.name).toBe('shared');
  });

  test('other zones have none', () => {
    const { umas } = virtualCpus(1);
    expect(umas[0]!.open(defineZone({ name: 'a', size: 64 })).getSmr()).toBe(undefined);
  });

  test('a secondary zone has its own or none', () => {
    const { umas } = virtualCpus(1);
    const primary = defineZone({ name: 'p', size: 64, smr: 'one' });
    const plain = umas[0]!.open(defineZone({ name: 's', size: 64, primary }));
    expect(plain.getSmr()).toBe(undefined);
    const other = umas[0]!.open(defineZone({ name: 't', size: 64, primary, smr: 'two' }));
    expect(other.getSmr()!.name).toBe('two');
    for (const zone of [plain, other]) {
      for (const item of allocAll(zone, 50)) zone.free(item);
    }
    expectClean(...umas);
  });

  test('another SMR in the definition is another zone', () => {
    const { umas } = virtualCpus(2);
    umas[0]!.open(defineZone({ name: 'a', size: 64, smr: 'one' }));
    expect(
      thrownBy(() => umas[1]!.open(defineZone({ name: 'a', size: 64, smr: 'two' }))),
    ).toBeInstanceOf(ZoneMismatchError);
  });

  test('setSmr before the first use', () => {
    const { umas } = virtualCpus(2);
    const definition = defineZone({ name: 'a', size: 2048 });
    const zone = umas[0]!.open(definition);
    zone.setSmr(umas[0]!.smr('late'));
    expect(zone.getSmr()).toBe(umas[0]!.smr('late'));
    const other = umas[1]!.open(definition);
    other.getSmr()!.enter();
    const items = allocAll(zone, 20);
    for (const item of items) zone.free(item);
    for (const item of allocAll(zone, 20)) expect(items).not.toContain(item);
    other.getSmr()!.exit();
    leave(umas[1]!);
  });

  test.each([
    ['twice', (zone: Zone) => zone.setSmr(zone.uma.smr('first'))],
    ['after use', (zone: Zone) => zone.free(zone.alloc(M_NOWAIT))],
  ])('setSmr %s is a ZoneDefinitionError', (_what, before) => {
    const { umas } = virtualCpus(1);
    const zone = umas[0]!.open(defineZone({ name: 'a', size: 64 }));
    before(zone);
    const flags = umas[0]!.words[zone.record + ZoneRecord.fields.flags.at];
    expect(thrownBy(() => zone.setSmr(umas[0]!.smr('late')))).toBeInstanceOf(ZoneDefinitionError);
    expect(umas[0]!.words[zone.record + ZoneRecord.fields.flags.at]).toBe(flags);
  });

  test('setSmr of a zone that another CPU has open, or with its SMR, is a ZoneDefinitionError', () => {
    const { umas } = virtualCpus(2);
    const definition = defineZone({ name: 'a', size: 64 });
    const zone = umas[0]!.open(definition);
    expect(thrownBy(() => zone.setSmr(umas[1]!.smr('late')))).toBeInstanceOf(ZoneDefinitionError);
    umas[1]!.open(definition);
    expect(thrownBy(() => zone.setSmr(umas[0]!.smr('late')))).toBeInstanceOf(ZoneDefinitionError);
    expect(zone.getSmr()).toBe(undefined);
  });

  test.each(['', 'x'.repeat(64)])('definition with smr %j is a ZoneDefinitionError', (smr) => {
    expect(thrownBy(() => defineZone({ name: 'a', size: 64, smr }))).toBeInstanceOf(
      ZoneDefinitionError,
    );
  });
});

describe('destroy', () => {
  test('waits for readers, and runs every dtor', () => {
    let dtors = 0;
    const { zones, umas } = setUp(2, { dtor: () => void dtors++ });
    const [zone, other] = zones;
    for (const item of allocAll(zone!, 30)) zone!.free(item);
    for (const item of allocAll(other!, 3)) other!.free(item);
    umas[1]!.smr('z').enter();
    expect(zone!.destroy({ answerMs: 5 })).toMatchObject({ complete: false, unanswered: [1] });
    umas[1]!.smr('z').exit();
    leave(umas[1]!);
    expect(zone!.destroy()).toMatchObject({ complete: true, items: 0, pages: 0 });
    expect(dtors).toBe(33);
    leave(umas[0]!);
    expectClean(umas[0]!);
  });

  test('held up by a reader alone it says so, and goes on when called again', () => {
    const { zones, umas } = setUp(2, { smr: 'shared' });
    const reader = umas[1]!.smr('shared');
    for (const item of allocAll(zones[0]!, 30)) zones[0]!.free(item);
    leave(umas[1]!);
    // An idle CPU cannot read: as a late publisher would look.
    Atomics.store(umas[0]!.words, reader.reader, 1);
    expect(zones[0]!.destroy({ answerMs: 5 })).toMatchObject({ complete: false, unanswered: [] });
    Atomics.store(umas[0]!.words, reader.reader, 0);
    expect(zones[0]!.destroy({ answerMs: 5 })).toMatchObject({
      complete: true,
      items: 0,
      pages: 0,
    });
    expectClean(umas[0]!);
  });

  test('inside a section is a SectionError', () => {
    const { zones } = setUp(1);
    zones[0]!.getSmr()!.enter();
    expect(thrownBy(() => zones[0]!.destroy())).toBeInstanceOf(SectionError);
    zones[0]!.getSmr()!.exit();
    zones[0]!.free(zones[0]!.alloc(M_NOWAIT));
  });
});
