/**
 * Owners of items: claims, default owners, frees on other CPUs, and the conservation law, which fsck
 * checks, at rest and after a death at every point.
 */

import { type Address, ArgumentError, answerRequests, markDead, recover } from '@umbuf/memory';
import { attachOwner, ownerName, readOwners, revokedOwner } from '@umbuf/tracing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fsck, itemEntry, itemOwner, M_NOWAIT, type Uma, walkItems } from '../src/index.ts';
import { deathPoints, restore } from './support/death.ts';
import { allocAll, expectClean, leave, virtualCpus } from './support/virtual.ts';

const session = { name: 'session', size: 64, holders: true };
const seed = Number(process.env['UMBUF_SEED'] ?? 0x0e27);

/** Claims and releases of items by owner, where there are any. */
function counts(uma: Uma): Record<string, readonly [bigint, bigint]> {
  const rows = readOwners(uma.arena)
    .filter(({ itemClaims }) => itemClaims > 0n)
    .map(
      ({ name, description, itemClaims, itemReleases }) =>
        [`${name}.${description}`, [itemClaims, itemReleases]] as const,
    );
  return Object.fromEntries(rows);
}

test('an item is claimed, claimed away and given back; each is counted once', () => {
  const { umas } = virtualCpus(2);
  const [a, b] = umas as [Uma, Uma];
  const zones = [a.open(session), b.open(session)] as const;
  const web = attachOwner(a.cpu, 'web', 'rx');
  const worker = attachOwner(a.cpu, 'worker');
  const item = zones[0].alloc(M_NOWAIT);
  expect(itemOwner(a, zones[0].record, item)).toBe(0);
  zones[0].claim(item, web);
  zones[0].claim(item, web);
  zones[0].claim(item, 0 as Address);
  expect(counts(a)).toEqual({ 'web.rx': [1n, 0n] });
  // Another CPU takes it over and frees it: claim and release stand on different CPUs.
  zones[1].claim(item, worker);
  expect(itemOwner(b, zones[1].record, item)).toBe(worker);
  zones[1].free(item);
  expect(counts(a)).toEqual({ 'web.rx': [1n, 1n], 'worker.': [1n, 1n] });
  const entry = itemEntry(a, zones[0].keg, item);
  expect(a.words[entry + 2]).toBe(revokedOwner(a.arena));
  expect(ownerName(a.arena, revokedOwner(a.arena)).name).toBe('revoked');
  expectClean(a, b);
});

test('new items are those of the default owner: unknown.<zone> unless another is said', () => {
  const { umas } = virtualCpus(1);
  const [uma] = umas as [Uma];
  const zone = uma.open({ ...session, name: 'a zone with a long name' });
  const unattributed = zone.alloc(M_NOWAIT);
  const unknown = zone.setOwner();
  expect(ownerName(uma.arena, unknown)).toEqual({
    name: 'unknown',
    description: 'a zone with a l',
  });
  const items = allocAll(zone, 3);
  const web = attachOwner(uma.cpu, 'web');
  expect(zone.setOwner(web)).toBe(web);
  items.push(...allocAll(zone, 2));
  zone.setOwner(0 as Address);
  items.push(zone.alloc(M_NOWAIT));
  expect(counts(uma)).toEqual({ 'unknown.a zone with a l': [3n, 0n], 'web.': [2n, 0n] });
  expect(fsck(uma).violations).toEqual([]);
  for (const item of [unattributed, ...items]) zone.free(item);
  expect(counts(uma)).toEqual({ 'unknown.a zone with a l': [3n, 3n], 'web.': [2n, 2n] });
  // An item that is used again without an owner names nobody.
  expect(itemOwner(uma, zone.record, zone.alloc(M_NOWAIT))).toBe(0);
  expectClean(uma);
});

test('without an item table nothing is counted', () => {
  const { umas } = virtualCpus(1);
  const [uma] = umas as [Uma];
  const zone = uma.open({ name: 'plain', size: 64 });
  const item = zone.alloc(M_NOWAIT);
  expect(zone.setOwner()).toBe(0);
  zone.claim(item, attachOwner(uma.cpu, 'web'));
  expect(itemOwner(uma, zone.record, item)).toBe(0);
  expect(counts(uma)).toEqual({});
  zone.free(item);
  expectClean(uma);
});

test('what is no live item, or no owner, is refused and changes nothing', () => {
  const { umas } = virtualCpus(1);
  const [uma] = umas as [Uma];
  const zone = uma.open(session);
  const web = attachOwner(uma.cpu, 'web');
  const [item, freed] = allocAll(zone, 2) as [Address, Address];
  zone.free(freed);
  for (const bad of [freed, item + 4, 0, -8, 0.5, 1 << 30]) {
    expect(() => zone.claim(bad as Address, web), String(bad)).toThrow(
      /^zone session, CPU 0: claim of .*: no live item of the zone$/,
    );
  }
  expect(() => zone.claim(item, 4096 as Address)).toThrow(ArgumentError);
  expect(() => zone.setOwner(4096 as Address)).toThrow(ArgumentError);
  expect(itemOwner(uma, zone.record, item)).toBe(0);
  expect(counts(uma)).toEqual({});
});

test('items that are lost with their zone are nobody’s any more, and reported with their owner', () => {
  const { umas } = virtualCpus(1);
  const [uma] = umas as [Uma];
  const zone = uma.open(session);
  const web = attachOwner(uma.cpu, 'web');
  zone.setOwner(web);
  const items = allocAll(zone, 3);
  zone.free(items.pop()!);
  const { leaked } = zone.destroy();
  expect(leaked.map(({ owner }) => owner)).toEqual([web, web]);
  expect(counts(uma)).toEqual({ 'web.': [3n, 3n] });
  expectClean(uma);
});

test('fsck finds an owner whose counters are not its items', () => {
  const { umas } = virtualCpus(1);
  const [uma] = umas as [Uma];
  const zone = uma.open(session);
  const web = attachOwner(uma.cpu, 'web', 'rx');
  const item = zone.alloc(M_NOWAIT);
  zone.claim(item, web);
  const entry = itemEntry(uma, zone.keg, item);
  uma.words[entry + 2] = 0;
  expect(fsck(uma).violations).toEqual([
    '15: owner web.rx: 1 items claimed and 0 released, 0 live',
  ]);
  uma.words[entry + 2] = 64;
  expect(fsck(uma).violations[0]).toBe('15: items name 64, no owner');
  uma.words[entry + 2] = web;
  uma.words[entry]! &= ~1;
  expect(fsck(uma).violations.join('\n')).toMatch(/15: item \d+ of the slab .* owns it/);
});

test('the walk sees every live item with holder, owner and age, and no free one', () => {
  const { umas } = virtualCpus(2);
  const [a, b] = umas as [Uma, Uma];
  const web = attachOwner(a.cpu, 'web');
  // Slabs of one page, of several pages, and with headers of their own.
  const zones = [64, 3000, 9000].map((size) => a.open({ ...session, name: `s${size}`, size }));
  const seen = new Map<number, string>();
  const expected = new Map<number, string>();
  for (const zone of zones) {
    const there = b.open(zone.definition);
    const items = [...allocAll(zone, 5), ...allocAll(there, 4)];
    zone.claim(items[0] as Address, web);
    zone.free(items.splice(1, 1)[0]!);
    for (const [index, item] of items.entries()) {
      expected.set(item, `${zone.name} ${index < 4 ? 0 : 1} ${index === 0 ? web : 0}`);
    }
  }
  walkItems(a, 0, Date.now() + 5000, ({ address, keg, holder, owner, ageMs }) => {
    const zone = zones.find((each) => each.keg === keg);
    seen.set(address, `${zone?.name} ${holder} ${owner}`);
    expect(ageMs).toBeGreaterThanOrEqual(5000);
    expect(ageMs).toBeLessThan(65_000);
  });
  expect(seen).toEqual(expected);
  let some = 0;
  walkItems(b, zones[1]!.keg, 0, () => some++);
  expect(some).toBe(8);
});

const step = fc.record({
  kind: fc.constantFrom('alloc', 'alloc', 'free', 'claim', 'default'),
  cpu: fc.nat(1),
  pick: fc.nat(),
});

test(`what owners hold is what the ledger says, whatever two CPUs do (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { umas } = virtualCpus(2, { level: 'checks' });
      const zones = umas.map((uma) => uma.open({ ...session, size: 700 }));
      const uma = umas[0]!;
      const owners = ['web', 'worker', ''].map((name) =>
        name === '' ? (0 as Address) : attachOwner(uma.cpu, name),
      );
      const ledger = new Map<number, number>();
      let preset = 0;
      for (const { kind, cpu, pick } of steps) {
        const zone = zones[cpu]!;
        const item = [...ledger.keys()][pick % Math.max(1, ledger.size)] as Address | undefined;
        const owner = owners[pick % 3]!;
        if (kind === 'alloc') ledger.set(zone.alloc(M_NOWAIT), preset);
        else if (kind === 'default') preset = zone.setOwner(owner);
        else if (item === undefined) continue;
        else if (kind === 'free') {
          zone.free(item);
          ledger.delete(item);
        } else {
          zone.claim(item, owner);
          if (owner !== 0) ledger.set(item, owner);
        }
      }
      for (const { address, itemClaims, itemReleases } of readOwners(uma.arena)) {
        const held = [...ledger.values()].filter((owner) => owner === address).length;
        expect(itemClaims - itemReleases).toBe(BigInt(held));
      }
      expectClean(...umas);
    }),
    { seed, numRuns: 60 },
  );
});

describe('a death at any point leaves the law as it was', () => {
  test.each(['alloc', 'free', 'claim', 'claim away'] as const)('%s', (kind) => {
    const { umas } = virtualCpus(2);
    const [uma, other] = umas as [Uma, Uma];
    const zone = uma.open(session);
    other.open(session);
    const web = attachOwner(uma.cpu, 'web');
    const worker = attachOwner(uma.cpu, 'worker');
    zone.setOwner(kind === 'claim' ? (0 as Address) : web);
    const [item] = allocAll(zone, 3) as [Address];
    const { points, error } = deathPoints(uma, () => {
      if (kind === 'alloc') zone.alloc(M_NOWAIT);
      else if (kind === 'free') zone.free(item);
      else zone.claim(item, worker);
    });
    expect(error).toBeUndefined();
    expect(points.length).toBeGreaterThan(0);
    for (const point of points) {
      restore(other, point);
      markDead(other.cpu, uma.cpu.number, uma.cpu.incarnation);
      recover(other.cpu, uma.cpu.number, uma.cpu.incarnation);
      answerRequests(other.cpu);
      expect(fsck(other).violations).toEqual([]);
      leave(other);
    }
  });
});
