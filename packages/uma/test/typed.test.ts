/** Typed zones: fields, items as objects, stale handles, ownership, messages, forgotten items. */

import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  atomic,
  atomicPointer,
  bool,
  bytes,
  f32,
  f64,
  FieldValueError,
  ForeignItemError,
  i16,
  i64,
  i8,
  type ItemMessage,
  itemTransferHandler,
  onForgotten,
  OwnershipError,
  pointer,
  reclaim,
  StaleItemError,
  struct,
  type TypedItem,
  u16,
  u32,
  u64,
  u8,
  utf8,
  ZoneDefinitionError,
  ZoneMismatchError,
} from '../src/index.ts';
import { expectClean, handTop, virtualCpus } from './support/virtual.ts';

const Session = struct('session', {
  small: i8,
  open: bool,
  port: u16,
  id: u32,
  hits: atomic.i32,
  bytes: i64,
  total: atomic.i64,
  rate: f64,
  share: f32,
  low: i16,
  tag: u8,
  big: u64,
  name: utf8(11),
  key: bytes(5),
});

const Node = struct('node', {
  value: u32,
  next: pointer('node', 'owned'),
  peer: pointer('node', 'borrowed'),
});

function sessions(level: 'none' | 'checks' | 'invariants' = 'none') {
  const { umas } = virtualCpus(2, { level, bytes: 1 << 18 });
  const [a, b] = umas;
  return {
    a: a!,
    b: b!,
    here: a!.open(Session.definition).of(Session),
    there: b!.open(Session.definition).of(Session),
  };
}

describe('a struct', () => {
  test('places its fields in order, each aligned', () => {
    expect(Session.offsets).toEqual({
      small: 0,
      open: 1,
      port: 2,
      id: 4,
      hits: 8,
      bytes: 16,
      total: 24,
      rate: 32,
      share: 40,
      low: 44,
      tag: 46,
      big: 48,
      name: 56,
      key: 67,
    });
    expect(Session.size).toBe(72);
  });

  test('has a layout table with the kinds of its words', () => {
    expect(Session.layout.fields['hits']).toEqual({
      at: 2,
      type: 'i32',
      kind: 'atomic',
      count: 1,
      what: 'i32',
    });
    expect(Session.layout.fields['total']).toMatchObject({ at: 6, type: 'i64', kind: 'atomic' });
    expect(Node.layout.fields['next']).toMatchObject({
      at: 1,
      count: 2,
      kind: 'owned',
      what: 'pointer to node',
    });
  });

  test.each([
    ['no fields', 'empty', {}],
    ['a name that items have themselves', 'bad', { free: u32 }],
  ])('with %s is refused', (_what, name, fields) => {
    expect(() => struct(name, fields)).toThrow(ZoneDefinitionError);
  });

  test('infers the types of its fields', () => {
    type Session = TypedItem<typeof Session.fields>;
    expectTypeOf<Session['id']>().toEqualTypeOf<number>();
    expectTypeOf<Session['open']>().toEqualTypeOf<boolean>();
    expectTypeOf<Session['bytes']>().toEqualTypeOf<bigint>();
    expectTypeOf<Session['name']>().toEqualTypeOf<string>();
    expectTypeOf<Session['key']>().toEqualTypeOf<Uint8Array<SharedArrayBuffer>>();
    expectTypeOf<Session>().not.toHaveProperty('nothing');
  });

  test('of another layout does not open the zone', () => {
    const { a } = sessions();
    const Other = struct('session', { ...Session.fields, extra: u8 });
    expect(() => a.open(Other.definition)).toThrow(ZoneMismatchError);
    expect(() => a.open(Session.definition).of(Other as never)).toThrow(ZoneMismatchError);
  });
});

describe.each(['none', 'checks', 'invariants'] as const)('an item at level %s', (level) => {
  test('holds what each field was given, for every thread', () => {
    const { here, there } = sessions(level);
    const item = here.alloc({ name: 'Zoë', port: 65535 })!;
    Object.assign(item, {
      small: -128,
      open: true,
      id: 2 ** 32 - 1,
      hits: -5,
      bytes: -(2n ** 63n),
      total: 7n,
      rate: 0.1,
      share: 0.5,
      low: -32768,
      tag: 255,
      big: 2n ** 64n - 1n,
      key: Uint8Array.of(1, 2, 3),
    });
    const other = there.borrow(item.reference());
    expect({ ...read(other) }).toEqual({
      small: -128,
      open: true,
      port: 65535,
      id: 2 ** 32 - 1,
      hits: -5,
      bytes: -(2n ** 63n),
      total: 7n,
      rate: 0.1,
      share: 0.5,
      low: -32768,
      tag: 255,
      big: 2n ** 64n - 1n,
      name: 'Zoë',
      key: Uint8Array.of(1, 2, 3, 0, 0),
    });
    expect(there.fields.hits.add(other.address, 2)).toBe(-5);
    expect(there.fields.total.compareExchange(other.address, 7n, 9n)).toBe(7n);
    expect(here.fields.hits.exchange(item.address, 1)).toBe(-3);
    expect([item.hits, item.total]).toEqual([1, 9n]);
    item.free();
  });

  test('comes cleared, also where somebody wrote before', () => {
    const { a, here } = sessions(level);
    const first = here.alloc({ id: 7, name: 'x'.repeat(11), rate: 3 })!;
    const { address } = first;
    first.free();
    using again = here.alloc()!;
    expect(again.address).toBe(address);
    expect([again.id, again.name, again.rate]).toEqual([0, '', 0]);
    expect(handTop(a)).toBe(0);
  });

  test('that was freed is stale for everyone, also when its memory has another user', () => {
    const { here, there } = sessions(level);
    const item = here.alloc({ id: 1 })!;
    const message = item.reference();
    const other = there.borrow(message);
    item.free();
    const next = here.alloc({ id: 2 })!;
    expect(next.address).toBe(message.address);
    for (const use of [
      () => item.id,
      () => {
        item.id = 3;
      },
      () => other.id,
      () => {
        other.id = 3;
      },
      () => other.address,
      () => other.reference(),
      () => {
        item.free();
      },
      () => there.borrow(message),
    ]) {
      expect(use).toThrow(StaleItemError);
    }
    expect([item.alive, other.alive, next.alive, next.id]).toEqual([false, false, true, 2]);
    next.free();
  });

  test('is stale when its page went to another keg and back', () => {
    const { a, here } = sessions(level);
    const item = here.alloc({ id: 1 })!;
    const { address } = item;
    const held = here.at(item);
    item.free();
    for (let round = 0; round < 3; round++) {
      reclaim(a, 'drain-cpu');
      const thief = a.open({ name: `thief ${round}`, size: 4096 - 64 * round });
      const stolen: number[] = [];
      for (let page = thief.alloc(1); page !== 0; page = thief.alloc(1)) stolen.push(page);
      for (const page of stolen) a.words.fill(-1, page >> 2, (page + thief.size) >> 2);
      expect(() => held.id).toThrow(StaleItemError);
      thief.freeMany(stolen, 0, stolen.length);
      reclaim(a, 'drain-cpu');
      const mine = [];
      for (let more = here.alloc({ id: 9 }); more !== undefined; more = here.alloc({ id: 9 }))
        mine.push(more);
      expect(mine.some((one) => one.address === address)).toBe(true);
      expect(() => held.id).toThrow(StaleItemError);
      for (const one of mine) one.free();
    }
  });

  test('is freed at the end of its block, unless it was freed or handed over', () => {
    const { a, here, there } = sessions(level);
    let message: ItemMessage;
    {
      using kept = here.alloc()!;
      using gone = here.alloc()!;
      using given = here.alloc()!;
      gone.free();
      message = given.handOver();
      expect([kept.alive, gone.alive, given.alive]).toEqual([true, false, false]);
    }
    expect(here.zone.statistics().live).toBe(1);
    {
      using adopted = there.adopt(message);
      expect(adopted.alive).toBe(true);
    }
    expect(() => there.adopt(message)).toThrow(StaleItemError);
    expect(expectClean(a)['session']).toBe(0);
  });

  test('frees what it owns with it, and nothing that it borrows', () => {
    const { a } = sessions(level);
    const nodes = a.open(Node.definition).of(Node);
    const peer = nodes.alloc({ value: 99 })!;
    let head = nodes.alloc({ value: 0 })!;
    for (let value = 1; value < 500; value++) head = nodes.alloc({ value, next: head, peer })!;
    expect(nodes.at(nodes.at(head.next!).next!).value).toBe(497);
    head.free();
    expect(nodes.zone.statistics().live).toBe(1);
    peer.free();
    expect(expectClean(a)['node']).toBe(0);
  });

  test('whose owned pointers make no tree is not freed, nor anything of it', () => {
    const { a } = sessions(level);
    const nodes = a.open(Node.definition).of(Node);
    const [x, y, z] = [nodes.alloc()!, nodes.alloc()!, nodes.alloc()!];
    x.next = y;
    y.next = x;
    expect(() => {
      x.free();
    }).toThrow(OwnershipError);
    y.next = z;
    z.free();
    expect(() => {
      x.free();
    }).toThrow(StaleItemError);
    y.next = undefined;
    x.free();
    expect(nodes.zone.statistics().live).toBe(0);
  });
});

test('values that a field cannot hold are refused by name, and nothing is written', () => {
  const { here } = sessions();
  const item = here.alloc({ id: 5, name: 'five' })!;
  const refusals: [string, unknown, RegExp][] = [
    ['small', 128, /^session\.small: 128 is not an integer from -128 to 127$/],
    ['port', -1, /session\.port: -1/],
    ['id', 1.5, /session\.id: 1\.5/],
    ['id', NaN, /session\.id: NaN/],
    ['id', '5', /session\.id: "5"/],
    ['hits', 2 ** 31, /session\.hits/],
    ['bytes', 5, /session\.bytes: 5 is not a bigint of 64 bits, signed/],
    ['big', -1n, /session\.big: -1 is not a bigint of 64 bits, unsigned/],
    ['rate', '1', /session\.rate/],
    ['open', 1, /session\.open: 1 is not a boolean/],
    ['name', 'twelve bytes', /at most 11 bytes of UTF-8, not 12/],
    ['name', 'a\0b', /U\+0000/],
    ['key', new Uint8Array(6), /session\.key: 6 is not a number of bytes up to 5/],
    ['key', [1], /session\.key/],
  ];
  for (const [key, value, message] of refusals) {
    expect(() => {
      (item as unknown as Record<string, unknown>)[key] = value;
    }).toThrow(message);
    expect(() => here.alloc({ [key]: value })).toThrow(FieldValueError);
  }
  expect([item.id, item.name]).toEqual([5, 'five']);
  expect(here.zone.statistics().live).toBe(1);
  item.free();
});

test('exhaustion is undefined', () => {
  const { here } = sessions();
  const all = [];
  for (let item = here.alloc(); item !== undefined; item = here.alloc()) all.push(item);
  expect(all.length).toBeGreaterThan(500);
  for (const item of all) item.free();
});

test('two objects that free one item at once: one does, the other is stale', () => {
  const { here, there } = sessions();
  const item = here.alloc()!;
  const other = there.adopt(item.reference());
  item.free();
  expect(() => {
    other.free();
  }).toThrow(StaleItemError);
});

test('a view of bytes is made once', () => {
  const { here } = sessions();
  using item = here.alloc()!;
  expect(item.key).toBe(item.key);
  item.key[4] = 9;
  expect(item.key[4]).toBe(9);
});

test('an atomic pointer leads to a live item by address', () => {
  const Table = struct('table', { head: atomicPointer('node') });
  const { a } = sessions();
  const nodes = a.open(Node.definition).of(Node);
  using table = a.open(Table.definition).of(Table).alloc()!;
  const node = nodes.alloc({ value: 4 })!;
  table.head = node.address;
  expect(nodes.atAddress(table.head as never).value).toBe(4);
  node.free();
  expect(() => nodes.atAddress(table.head as never)).toThrow(StaleItemError);
});

test('messages of other arenas and zones, and what is none, are refused', () => {
  const { here } = sessions();
  const foreign = sessions();
  const item = here.alloc()!;
  const message = item.reference();
  expect(() => foreign.here.borrow(message)).toThrow(/another arena/);
  expect(() => here.borrow({ ...message, zone: 'node' })).toThrow(/of zone node/);
  expect(() => here.borrow({ address: 4096, generation: 1 } as never)).toThrow(ForeignItemError);
  for (const address of [0, -4, 1, message.address + 4, 2 ** 31, NaN, 1e9]) {
    const call = () => here.borrow({ ...message, address });
    expect(call, String(address)).toThrow(
      Number.isNaN(address) ? ForeignItemError : StaleItemError,
    );
  }
  // The object itself cannot be cloned by mistake.
  expect(structuredClone(message)).toEqual(message);
  item.free();
});

test('the transfer handler does to items what its mode says', () => {
  const { here, there } = sessions();
  for (const mode of ['handOver', 'reference'] as const) {
    const sender = itemTransferHandler([here], mode);
    const receiver = itemTransferHandler([there], mode);
    const item = here.alloc({ id: 3 })!;
    expect([sender.canHandle(item), sender.canHandle({})]).toEqual([true, false]);
    const [message] = sender.serialize(item);
    const got = receiver.deserialize(structuredClone(message)) as typeof item;
    expect([got.id, item.alive]).toEqual([3, mode === 'reference']);
    (mode === 'handOver' ? got : item).free();
    expect(() => itemTransferHandler([], mode).deserialize(message)).toThrow(ForeignItemError);
  }
});

test('a module that is loaded again re-opens the zone with its new callbacks', () => {
  const { a, here } = sessions();
  const item = here.alloc({ id: 1 })!;
  const Again = struct('session', Session.fields);
  expect(() => a.open({ ...Again.definition, dtor: () => {} })).toThrow(ZoneMismatchError);
  const again = a.open(Again.definition).of(Again);
  expect(again.at(item).id).toBe(1);
  again.adopt(item.reference()).free();
  expect(item.alive).toBe(false);
});

test.each(['none', 'checks'] as const)('level %s: a forgotten item is named', async (level) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { here } = sessions(level);
  const found: string[] = [];
  const stop = onForgotten(({ zone, cpu, stack }) =>
    found.push(`${zone} ${cpu} ${stack.includes('forget')}`),
  );
  function forget(): void {
    here.alloc({ id: 1 });
    here.alloc()!.free();
    here.at(here.alloc()!);
    here.alloc()!.handOver();
  }
  forget();
  const due = level === 'none' ? 0 : 2;
  for (
    let round = 0;
    round < (due === 0 ? 3 : 200) && found.length <= due - (due === 0 ? 0 : 1);
    round++
  ) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  stop();
  expect(found).toEqual(Array.from({ length: due }, () => 'session 0 true'));
});

function read(item: TypedItem<typeof Session.fields>): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(Session.fields).map((key) => [
      key,
      (item as unknown as Record<string, unknown>)[key],
    ]),
  );
}
