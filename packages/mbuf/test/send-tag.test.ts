/** Send tags: made by drivers, carried by packets, freed once by whoever drops the last reference. */

import { type Address, ArgumentError, claimCpu, NULL, Panic, recover } from '@umbuf/memory';
import { defineZone, fsck, M_NOWAIT, M_WAITOK, Uma } from '@umbuf/uma';
import { describe, expect, test, vi } from 'vitest';
import {
  EOPNOTSUPP,
  INTERFACE_MAX,
  M_PKTHDR,
  Mbufs,
  MbufRoot,
  PacketHeaderError,
  SEND_TAG_BYTES,
  SendTagError,
  SendTagRecord,
} from '../src/index.ts';
import { build, expectEmpty, FailingZones, makeMbufs } from './support.ts';

const T = SendTagRecord.fields;
const IFP = 3;
const tagZone = defineZone({ name: 'driver tags', size: 64 });

/** A driver of one thread, whose tags carry the rate that was asked for. */
class Driver {
  readonly freed: Address[] = [];
  private readonly mbufs: Mbufs;

  constructor(mbufs: Mbufs) {
    this.mbufs = mbufs;
    const zone = mbufs.uma.open(tagZone);
    mbufs.registerInterface(IFP, 'em0', {
      sndTagAlloc: (params) => {
        const tag = zone.alloc(M_NOWAIT);
        if (tag === NULL) return { error: 12, tag };
        mbufs.sndTagInit(tag, IFP, 1);
        mbufs.words[(tag + SEND_TAG_BYTES) >> 2] = params as number;
        return { error: 0, tag };
      },
      sndTagFree: (tag) => {
        this.freed.push(tag);
        zone.free(tag);
      },
    });
  }

  make(rate = 1000): Address {
    const { error, tag } = this.mbufs.sndTagAlloc(IFP, rate);
    expect(error).toBe(0);
    return tag;
  }
}

function references({ words }: Mbufs, tag: Address): number {
  return words[(tag >> 2) + T.count.at]!;
}

function live({ words, root }: Mbufs): number {
  return words[root + MbufRoot.fields.sendTags.at]!;
}

function tagged(mbufs: Mbufs, driver: Driver, recipe = 'h100'): [Address, Address] {
  const tag = driver.make();
  const m = build(mbufs, recipe);
  mbufs.setSendTag(m, tag);
  return [m, tag];
}

describe('a tag', () => {
  test('is what the driver answers, EOPNOTSUPP where it has no hook', () => {
    const mbufs = makeMbufs();
    expect(mbufs.sndTagAlloc(IFP)).toEqual({ error: EOPNOTSUPP, tag: NULL });
    mbufs.registerInterface(IFP, 'em0', {});
    expect(mbufs.sndTagAlloc(IFP)).toEqual({ error: 45, tag: NULL });
    const driver = new Driver(mbufs);
    const tag = driver.make(250);
    expect(mbufs.words[(tag + SEND_TAG_BYTES) >> 2]).toBe(250);
    expect([references(mbufs, tag), live(mbufs), mbufs.interfaceTags(IFP)]).toEqual([1, 1, 1]);
    mbufs.sndTagRele(tag);
    expect([driver.freed, live(mbufs), mbufs.interfaceTags(IFP)]).toEqual([[tag], 0, 0]);
  });

  test('is exhausted as the driver says', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    mbufs.uma.open(tagZone).setMax(1);
    mbufs.uma.warn = () => {};
    const tag = driver.make();
    expect(mbufs.sndTagAlloc(IFP, 1)).toEqual({ error: 12, tag: NULL });
    expect(live(mbufs)).toBe(1);
    mbufs.sndTagRele(tag);
  });

  test('is freed by the last of several references, and never after that', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const tag = driver.make();
    expect(mbufs.sndTagRef(tag)).toBe(tag);
    expect(() => mbufs.sndTagDestroy(tag)).toThrow(SendTagError);
    mbufs.sndTagRele(tag);
    expect(driver.freed).toEqual([]);
    mbufs.sndTagDestroy(tag);
    expect(driver.freed).toEqual([tag]);
  });

  test('of which nobody has a reference is a Panic to take or drop', () => {
    const mbufs = makeMbufs();
    const zone = mbufs.uma.open(tagZone);
    mbufs.registerInterface(IFP, 'em0', { sndTagFree: () => {} });
    const tag = zone.alloc(M_WAITOK);
    mbufs.sndTagInit(tag, IFP, 0);
    mbufs.sndTagRele(tag);
    expect(() => mbufs.sndTagRele(tag)).toThrow(Panic);
    mbufs.sndTagInit(tag, IFP, 0);
    mbufs.sndTagRele(tag);
    expect(() => mbufs.sndTagRef(tag)).toThrow(Panic);
  });

  test.each([0, -4, 3, 1.5, NaN, 2 ** 40])('cannot be at %d', (address) => {
    const mbufs = makeMbufs();
    new Driver(mbufs);
    expect(() => mbufs.sndTagInit(address as Address, IFP, 1)).toThrow(ArgumentError);
    expect(() => mbufs.sndTagRele(address as Address)).toThrow(SendTagError);
    expect(live(mbufs)).toBe(0);
  });

  test('needs an interface that somebody has registered, under one name in the arena', () => {
    const mbufs = makeMbufs();
    const tag = mbufs.uma.open(tagZone).alloc(M_WAITOK);
    expect(() => mbufs.sndTagInit(tag, IFP, 1)).toThrow(SendTagError);
    expect(() => mbufs.sndTagInit(tag, INTERFACE_MAX + 1, 1)).toThrow(SendTagError);
    mbufs.registerInterface(IFP, 'em0', {});
    expect(() => mbufs.registerInterface(IFP, 'igb0', {})).toThrow(SendTagError);
    for (const ifp of [0, INTERFACE_MAX + 1, 1.5]) {
      expect(() => mbufs.registerInterface(ifp, 'em0', {})).toThrow(ArgumentError);
    }
    expect(() => mbufs.registerInterface(4, '', {})).toThrow(ArgumentError);
  });

  test("hook's error and promise come at the end, with the tag gone", () => {
    const mbufs = makeMbufs();
    const zone = mbufs.uma.open(tagZone);
    const hooks = [
      (): void => {
        throw new Error('driver');
      },
      (): void => Promise.resolve() as never,
    ];
    for (const [index, sndTagFree] of hooks.entries()) {
      mbufs.registerInterface(IFP, 'em0', { sndTagFree });
      const m = build(mbufs, 'h10');
      const tag = zone.alloc(M_WAITOK);
      mbufs.sndTagInit(tag, IFP, 1);
      mbufs.setSendTag(m, tag);
      expect(() => mbufs.freem(m)).toThrow(index === 0 ? 'driver' : SendTagError);
      expect(live(mbufs)).toBe(0);
      zone.free(tag);
    }
    expectEmpty(mbufs);
  });
});

describe('a packet with a tag', () => {
  test('frees it once, in m_free and m_freem, also behind packet tags and with a cluster', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    for (const recipe of ['h100', 'HC100 d20', 'HC10 C20']) {
      const [m, tag] = tagged(mbufs, driver, recipe);
      mbufs.tagPrepend(m, mbufs.tagGet(7, 10, M_NOWAIT));
      expect(mbufs.sendTag(m)).toBe(tag);
      mbufs.freem(m);
      expect(driver.freed.splice(0)).toEqual([tag]);
    }
    expectEmpty(mbufs);
  });

  test('gives a new tag the place of the old one', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, first] = tagged(mbufs, driver);
    const second = driver.make();
    mbufs.setSendTag(m, second);
    expect(driver.freed).toEqual([first]);
    mbufs.freem(m);
    expect(driver.freed).toEqual([first, second]);
    expect(() => mbufs.setSendTag(build(mbufs, 'd10'), second)).toThrow(PacketHeaderError);
  });

  test.each<[string, (mbufs: Mbufs, m: Address) => Address]>([
    ['m_copym', (mbufs, m) => mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT)],
    ['m_copypacket', (mbufs, m) => mbufs.copypacket(m, M_NOWAIT)],
    ['m_dup', (mbufs, m) => mbufs.dup(m, 0, mbufs.copyAll, M_NOWAIT)],
    ['m_split', (mbufs, m) => mbufs.split(m, 30, M_NOWAIT)],
    [
      'm_dup_pkthdr',
      (mbufs, m) => {
        const n = mbufs.gethdr(M_NOWAIT, 1);
        expect(mbufs.dupPkthdr(n, m)).toBe(true);
        return n;
      },
    ],
  ])('%s references it', (_name, copy) => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, tag] = tagged(mbufs, driver, 'h50 C500');
    const n = copy(mbufs, m);
    expect([mbufs.sendTag(n), references(mbufs, tag)]).toEqual([tag, 2]);
    mbufs.freem(m);
    expect(driver.freed).toEqual([]);
    mbufs.freem(n);
    expect(driver.freed).toEqual([tag]);
    expectEmpty(mbufs);
  });

  test('a copy of a later part has none', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, tag] = tagged(mbufs, driver, 'h50 C500');
    const n = mbufs.copym(m, 10, 100, M_NOWAIT);
    expect(references(mbufs, tag)).toBe(1);
    mbufs.freem(n);
    mbufs.freem(m);
  });

  test.each<[string, (mbufs: Mbufs, m: Address) => Address]>([
    ['m_move_pkthdr', moveHeader],
    ['m_prepend', (mbufs, m) => mbufs.prepend(m, 160, M_NOWAIT)],
    ['m_pullup', (mbufs, m) => mbufs.pullup(m, 120)],
    ['m_copyup', (mbufs, m) => mbufs.copyup(m, 120, 8)],
    ['m_defrag', (mbufs, m) => mbufs.defrag(m, M_NOWAIT)],
    ['m_fragment', (mbufs, m) => mbufs.fragment(m, M_NOWAIT, 16)],
    ['m_unshare', unshareShared],
  ])('%s moves it', (_name, move) => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, tag] = tagged(mbufs, driver, 'HC100 C500');
    const n = move(mbufs, m);
    expect(n).not.toBe(NULL);
    expect([mbufs.sendTag(n), references(mbufs, tag), driver.freed]).toEqual([tag, 1, []]);
    mbufs.freem(n);
    expect(driver.freed).toEqual([tag]);
    expectEmpty(mbufs);
  });

  test.each<[string, (mbufs: Mbufs, m: Address) => void]>([
    ['m_demote', (mbufs, m) => mbufs.demote(m, true, 0)],
    ['m_demote_pkthdr', (mbufs, m) => mbufs.demotePkthdr(m)],
    ['m_pkthdr_remove', (mbufs, m) => mbufs.pkthdrRemove(m)],
  ])('%s releases it', (_name, strip) => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, tag] = tagged(mbufs, driver, 'h50 C500');
    strip(mbufs, m);
    expect([driver.freed, live(mbufs)]).toEqual([[tag], 0]);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });

  test('m_catpkt and m_dup_pkthdr release the tag of the header that goes', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, first] = tagged(mbufs, driver);
    const [n, second] = tagged(mbufs, driver);
    mbufs.catpkt(m, n);
    expect(driver.freed).toEqual([second]);
    const [other, third] = tagged(mbufs, driver);
    mbufs.dupPkthdr(other, m);
    expect(driver.freed).toEqual([second, third]);
    expect(references(mbufs, first)).toBe(2);
    mbufs.freem(m);
    mbufs.freem(other);
    expectEmpty(mbufs);
  });

  test('m_move_pkthdr refuses to put one tag over another', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m] = tagged(mbufs, driver);
    const [n] = tagged(mbufs, driver);
    expect(() => mbufs.movePkthdr(n, m)).toThrow(PacketHeaderError);
    mbufs.freem(m);
    mbufs.freem(n);
    expect(live(mbufs)).toBe(0);
  });

  test('an operation that runs out of memory gives its reference back', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const [m, tag] = tagged(mbufs, driver, 'h100 C500 d210 C500');
    const failing = new FailingZones(mbufs);
    const attempts: ((at: number) => Address)[] = [
      () => mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT),
      () => mbufs.dup(m, 0, mbufs.copyAll, M_NOWAIT),
      () => mbufs.split(m, 605, M_NOWAIT),
      () => mbufs.defrag(m, M_NOWAIT),
    ];
    let refused = 0;
    for (const attempt of attempts) {
      for (let at = 1; at <= 2; at++) {
        failing.arm(at, true);
        if (attempt(at) !== NULL) throw new Error('it found memory');
        refused++;
        expect([references(mbufs, tag), mbufs.sendTag(m)]).toEqual([1, tag]);
      }
    }
    failing.disarm();
    expect(refused).toBe(8);
    mbufs.freem(m);
    expect(driver.freed).toEqual([tag]);
    expectEmpty(mbufs);
  });

  test('of NetBSD has none: the bit means another thing there', () => {
    const mbufs = makeMbufs({ preset: 'netbsd' });
    const driver = new Driver(mbufs);
    const tag = driver.make();
    const m = mbufs.gethdr(M_NOWAIT, 1);
    expect(() => mbufs.setSendTag(m, tag)).toThrow(SendTagError);
    mbufs.words[(m >> 2) + mbufs.pkthdr + 3] = 0x80000000 | 0;
    mbufs.words[(m >> 2) + mbufs.pkthdr] = 77;
    expect(mbufs.sendTag(m)).toBe(NULL);
    const n = mbufs.copypacket(m, M_NOWAIT);
    mbufs.freem(m);
    mbufs.freem(n);
    mbufs.sndTagRele(tag);
    expectEmpty(mbufs);
  });
});

describe('two CPUs', () => {
  test('either drops the last reference and runs its own hook', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const other = Mbufs.attach(Uma.attach(claimCpu(mbufs.arena, { manualLeave: true })));
    const second = new Driver(other);
    const [m, tag] = tagged(mbufs, driver);
    const n = mbufs.copypacket(m, M_NOWAIT);
    mbufs.freem(m);
    other.freem(n);
    expect([driver.freed, second.freed]).toEqual([[], [tag]]);
    expect(live(mbufs)).toBe(0);
  });

  test('one without the hook refuses to free, and changes nothing; it may copy', () => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const other = Mbufs.attach(Uma.attach(claimCpu(mbufs.arena, { manualLeave: true })));
    const [m, tag] = tagged(mbufs, driver, 'HC100 C500');
    mbufs.tagPrepend(m, mbufs.tagGet(7, 10, M_NOWAIT));
    const refusals: (() => unknown)[] = [
      () => other.free(m),
      () => other.freem(m),
      () => other.demote(m, true, 0),
      () => other.demotePkthdr(m),
      () => other.defrag(m, M_NOWAIT),
      () => other.unshare(m, M_NOWAIT),
      () => other.fragment(m, M_NOWAIT, 10),
      () => other.sndTagRele(tag),
      () => other.setSendTag(m, tag),
    ];
    for (const refusal of refusals) {
      expect(refusal).toThrow(SendTagError);
      expect([references(mbufs, tag), mbufs.sendTag(m)]).toEqual([1, tag]);
      expect(mbufs.tagFirst(m)).not.toBe(NULL);
    }
    const n = other.copypacket(m, M_NOWAIT);
    expect(references(mbufs, tag)).toBe(2);
    const failing = new FailingZones(other);
    failing.arm(2, true);
    expect(other.copypacket(m, M_NOWAIT)).toBe(NULL);
    expect(references(mbufs, tag)).toBe(2);
    mbufs.freem(n);
    mbufs.freem(m);
    expect(driver.freed).toEqual([tag]);
    expect(fsck(mbufs.uma).violations).toEqual([]);
  });

  test.each([2, 3])('a CPU that dies at atomic %d of the last drop is completed', (at) => {
    const mbufs = makeMbufs();
    const driver = new Driver(mbufs);
    const other = Mbufs.attach(Uma.attach(claimCpu(mbufs.arena, { manualLeave: true })));
    const second = new Driver(other);
    const tag = driver.make();
    const sub = Atomics.sub;
    let calls = 0;
    const spy = vi.spyOn(Atomics, 'sub').mockImplementation(((words: never, ...rest: never[]) => {
      // A termination strikes at the entry of an atomic operation.
      if (++calls === at) throw new Death();
      return (sub as (...all: never[]) => number)(words, ...rest);
    }) as never);
    expect(() => other.sndTagRele(tag)).toThrow(Death);
    spy.mockRestore();
    expect(live(mbufs)).toBe(1);
    expect(recover(mbufs.cpu, other.cpu.number, other.cpu.incarnation)).toBe('recovered');
    expect([second.freed, driver.freed]).toEqual([[tag], []]);
    expect([live(mbufs), mbufs.interfaceTags(IFP)]).toEqual([0, 0]);
    expect(fsck(mbufs.uma).violations).toEqual([]);
  });
});

class Death extends Error {}

function moveHeader(mbufs: Mbufs, m: Address): Address {
  const n = mbufs.gethdr(M_NOWAIT, 1);
  mbufs.movePkthdr(n, m);
  expect(mbufs.words[(m >> 2) + mbufs.pkthdr + 3]).toBe(0);
  return mbufs.add(n, m);
}

function unshareShared(mbufs: Mbufs, m: Address): Address {
  const copy = mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT);
  const n = mbufs.unshare(m, M_NOWAIT);
  mbufs.pkthdrRemove(copy);
  mbufs.freem(copy);
  expect(mbufs.words[(n >> 2) + 4]! & M_PKTHDR).toBe(M_PKTHDR);
  return n;
}
