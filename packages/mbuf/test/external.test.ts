/**
 * External storage: who frees what and when (spec 6.6, NetBSD section 3). Zone counters say what is
 * out; callbacks are counted; `checkMbufs` compares every count with its users.
 */

import { type Address, NULL } from '@umbuf/memory';
import { defineZone, M_NOWAIT, type Zone } from '@umbuf/uma';
import {
  ExternalFreeError,
  ExternalRecord,
  ExternalStorageError,
  ExtType,
  FreebsdFlag,
  FreedMbufError,
  M_EXT,
  M_PKTHDR,
  MbufHeader,
  type Mbufs,
  readMbstat,
} from '@umbuf/mbuf';
import { beforeEach, describe, expect, test } from 'vitest';
import { expectEmpty, expectSound, makeMbufs } from './support.ts';

const H = MbufHeader.fields;
const E = ExternalRecord.fields;

let mbufs: Mbufs;
let buffers: Zone;
let freed: Address[];

beforeEach(() => {
  mbufs = makeMbufs();
  buffers = mbufs.uma.open(defineZone({ name: 'buffers', size: 1024, align: 63 }));
  freed = [];
  mbufs.registerExternalFree(1, 'buffers', (holder) => {
    freed.push(holder);
    buffers.free(mbufs.words[(holder >> 2) + mbufs.ext + E.buf.at]!);
  });
});

function live(): { mbuf: number; packet: number; cluster: number; buffers: number } {
  const { mbuf, packet, cluster } = mbufs.zones;
  return {
    mbuf: mbuf.statistics().live,
    packet: packet.statistics().live,
    cluster: cluster.statistics().live,
    buffers: buffers.statistics().live,
  };
}

/** An mbuf with external storage, with 100 bytes of data. */
function external(type: number = ExtType.EXT_NET_DRV): Address {
  const m = mbufs.gethdr(M_NOWAIT, 1);
  const buf = buffers.alloc(M_NOWAIT);
  mbufs.extadd(m, buf, 1024, 1, 11, 22, 0, type);
  mbufs.words[(m >> 2) + H.len.at] = 100;
  mbufs.fixhdr(m);
  return m;
}

/** A user of m's storage. */
function share(m: Address): Address {
  const n = mbufs.get(M_NOWAIT, 1);
  mbufs.addReference(n, m);
  mbufs.words[(n >> 2) + H.data.at] = mbufs.words[(m >> 2) + H.data.at]!;
  mbufs.words[(n >> 2) + H.len.at] = mbufs.words[(m >> 2) + H.len.at]!;
  return n;
}

describe('a packet', () => {
  test('goes back to its zone with the cluster attached, from any of its users', () => {
    const m = mbufs.getcl(M_NOWAIT, 1, M_PKTHDR);
    const clusters = live().cluster;
    const copies = [share(m), share(m), share(m)];
    expect(mbufs.referenceCount(m)).toBe(4);
    expectSound(mbufs, m, ...copies);
    mbufs.free(m);
    expect(readMbstat(mbufs).parked).toBe(1);
    expect(live().packet).toBe(1);
    for (const copy of copies) mbufs.free(copy);
    expect(live()).toEqual({ mbuf: 0, packet: 0, cluster: clusters, buffers: 0 });
    expectEmpty(mbufs);
    // The cached packet is unshared again.
    const again = mbufs.getcl(M_NOWAIT, 1, 0);
    expect(mbufs.words[(again >> 2) + H.shared.at]).toBe(0);
    expect(mbufs.writable(again)).toBe(true);
    mbufs.free(again);
  });

  test('a parked holder that is freed again is found, and its users keep their storage', () => {
    const m = mbufs.getcl(M_NOWAIT, 1, 0);
    const copy = share(m);
    mbufs.free(m);
    expect(() => mbufs.free(m)).toThrow(FreedMbufError);
    expect(mbufs.referenceCount(copy)).toBe(1);
    mbufs.free(copy);
    expectEmpty(mbufs);
  });

  test('sharing makes both sides read-only until the other is gone', () => {
    const m = mbufs.getcl(M_NOWAIT, 1, 0);
    const copy = share(m);
    expect([mbufs.writable(m), mbufs.writable(copy)]).toEqual([false, false]);
    mbufs.free(copy);
    expect(mbufs.writable(m)).toBe(true);
    // The owner of the holder has read 1: the storage counts as never shared again.
    expect(mbufs.words[(m >> 2) + H.shared.at]).toBe(0);
    const other = share(m);
    mbufs.free(m);
    // The last user of a parked holder may write, but is not the holder.
    expect(mbufs.writable(other)).toBe(true);
    expect(mbufs.words[(other >> 2) + H.shared.at]).toBe(1);
    mbufs.free(other);
    expectEmpty(mbufs);
  });
});

describe.each([
  ['mbuf_cluster', 2048],
  ['mbuf_jumbo_page', 4096],
  ['mbuf_jumbo_9k', 9216],
  ['mbuf_jumbo_16k', 16384],
])('%s', (name, size) => {
  test('returns with its holder when the last user goes', () => {
    const m = mbufs.get(M_NOWAIT, 1);
    const buf = mbufs.cljget(m, M_NOWAIT, size);
    expect(mbufs.capacity(m)).toBe(size);
    const zone = Object.values(mbufs.zones as unknown as Record<string, Zone>).find(
      (other) => other.name === name,
    )!;
    expect(zone.statistics().live).toBe(1);
    expect(mbufs.words[(m >> 2) + H.data.at]).toBe(buf);
    const copy = share(m);
    mbufs.free(m);
    expect(zone.statistics().live).toBe(1);
    mbufs.free(copy);
    expect(zone.statistics().live).toBe(0);
    expectEmpty(mbufs);
  });

  test('a bare one is attached by its type, or given back', () => {
    const types = [
      ExtType.EXT_CLUSTER,
      ExtType.EXT_JUMBOP,
      ExtType.EXT_JUMBO9,
      ExtType.EXT_JUMBO16,
    ];
    const type = types[[2048, 4096, 9216, 16384].indexOf(size)]!;
    const buf = mbufs.cljget(NULL, M_NOWAIT, size);
    const other = mbufs.cljget(NULL, M_NOWAIT, size);
    const m = mbufs.get(M_NOWAIT, 1);
    mbufs.cljset(m, buf, type);
    mbufs.freeCluster(other, size);
    mbufs.free(m);
    expectEmpty(mbufs);
  });
});

describe.each([
  ['EXT_SFBUF', ExtType.EXT_SFBUF],
  ['EXT_NET_DRV', ExtType.EXT_NET_DRV],
  ['EXT_MOD_TYPE', ExtType.EXT_MOD_TYPE],
  ['EXT_DISPOSABLE', ExtType.EXT_DISPOSABLE],
])('%s', (_name, type) => {
  test('ext_free runs once, with the holder, when the last reference goes', () => {
    const m = external(type);
    const copies = [share(m), share(m)];
    mbufs.free(copies[0]!);
    mbufs.free(m);
    expect(freed).toEqual([]);
    mbufs.free(copies[1]!);
    expect(freed).toEqual([m]);
    expect(live()).toMatchObject({ mbuf: 0, buffers: 0 });
    expectEmpty(mbufs);
  });

  test('unshared storage is released at once', () => {
    const m = external(type);
    mbufs.free(m);
    expect(freed).toEqual([m]);
    expectEmpty(mbufs);
  });
});

describe('EXT_EXTREF', () => {
  /** Storage whose count is its own first word. */
  function counted(references: number): Address {
    const buf = buffers.alloc(M_NOWAIT);
    Atomics.store(mbufs.words, buf >> 2, references);
    return buf;
  }

  test('the count is the caller memory; ext_free runs with the mbuf that was freed last', () => {
    const buf = counted(1);
    const m = mbufs.get(M_NOWAIT, 1);
    mbufs.extadd(m, buf, 1024, 1, 0, 0, 0, ExtType.EXT_EXTREF, buf);
    const other = mbufs.get(M_NOWAIT, 1);
    mbufs.extaddref(other, buf, 1024, buf, 1, 0, 0);
    const copy = share(other);
    expect(mbufs.referenceCount(m)).toBe(3);
    expectSound(mbufs, m, other, copy);
    expect(mbufs.writable(m)).toBe(false);
    mbufs.free(m);
    mbufs.free(copy);
    expect(live().mbuf).toBe(1); // nothing is parked
    mbufs.free(other);
    expect(freed).toEqual([other]);
    expectEmpty(mbufs);
  });

  test('an M_NOFREE mbuf may live inside its storage', () => {
    const buf = counted(1);
    const m = (buf + 256) as Address;
    mbufs.words.fill(0, m >> 2, (m + 256) >> 2);
    mbufs.words[(m >> 2) + H.type.at] = 1;
    mbufs.words[(m >> 2) + H.flags.at] = FreebsdFlag.M_NOFREE;
    mbufs.extadd(m, (buf + 512) as Address, 512, 2, 0, 0, 0, ExtType.EXT_EXTREF, buf);
    const copy = share(m);
    mbufs.words[mbufs.statistics + 1]! += 1; // it was not allocated, but is counted when freed
    mbufs.free(m);
    expect(freed).toEqual([]);
    mbufs.free(copy);
    expect(freed).toEqual([copy]);
    expectEmpty(mbufs);
  });

  beforeEach(() => {
    mbufs.registerExternalFree(2, 'inside', (m) => {
      freed.push(m);
      buffers.free(mbufs.words[(m >> 2) + mbufs.ext + E.buf.at]! - 512);
    });
  });
});

describe('EXT_RXRING', () => {
  test('storage and holder stay with the ring', () => {
    const m = mbufs.get(M_NOWAIT, 1);
    mbufs.words[(m >> 2) + H.flags.at]! |= FreebsdFlag.M_NOFREE;
    const buf = buffers.alloc(M_NOWAIT);
    mbufs.extadd(m, buf, 1024, 0, 0, 0, 0, ExtType.EXT_RXRING);
    expect(mbufs.words[(m >> 2) + H.shared.at]).toBe(1);
    const copy = share(m);
    mbufs.free(m);
    mbufs.free(copy);
    expect(live()).toMatchObject({ mbuf: 1, buffers: 1 });
    buffers.free(buf);
    mbufs.words[(m >> 2) + H.flags.at] = 0;
    mbufs.words[(m >> 2) + H.type.at] = 1;
    mbufs.words[mbufs.statistics + 1]! += 1;
    mbufs.free(m);
    expectEmpty(mbufs);
  });

  test('has no ext_free', () => {
    const m = mbufs.get(M_NOWAIT, 1);
    const buf = buffers.alloc(M_NOWAIT);
    expect(() => mbufs.extadd(m, buf, 1024, 1, 0, 0, 0, ExtType.EXT_RXRING)).toThrow(
      ExternalStorageError,
    );
  });
});

describe('ext_free callbacks', () => {
  test('an error does not stop m_freem and is thrown when the chain is gone', () => {
    mbufs.registerExternalFree(3, 'throws', () => {
      throw new RangeError('from ext_free');
    });
    const buf = buffers.alloc(M_NOWAIT);
    const first = mbufs.get(M_NOWAIT, 1);
    mbufs.extadd(first, buf, 1024, 3, 0, 0, 0, ExtType.EXT_MOD_TYPE);
    mbufs.add(first, mbufs.get(M_NOWAIT, 1));
    expect(() => mbufs.freem(first)).toThrow(RangeError);
    expect(live().mbuf).toBe(0);
    buffers.free(buf);
    expectEmpty(mbufs);
    mbufs.free(mbufs.get(M_NOWAIT, 1)); // the error was reported once
  });

  test('a promise is an error', () => {
    mbufs.registerExternalFree(4, 'promise', () => Promise.resolve() as unknown as undefined);
    const buf = buffers.alloc(M_NOWAIT);
    const m = mbufs.get(M_NOWAIT, 1);
    mbufs.extadd(m, buf, 1024, 4, 0, 0, 0, ExtType.EXT_MOD_TYPE);
    expect(() => mbufs.free(m)).toThrow(ExternalFreeError);
    expect(live().mbuf).toBe(0);
  });

  test('may free mbufs themselves', () => {
    const inner = mbufs.getcl(M_NOWAIT, 1, 0);
    mbufs.registerExternalFree(5, 'nested', (holder) => {
      mbufs.freem(inner);
      buffers.free(mbufs.words[(holder >> 2) + mbufs.ext + E.buf.at]!);
    });
    const m = mbufs.get(M_NOWAIT, 1);
    mbufs.extadd(m, buffers.alloc(M_NOWAIT), 1024, 5, 0, 0, 0, ExtType.EXT_MOD_TYPE);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });

  test('a thread that has not registered the callback changes nothing', () => {
    const m = external();
    const copy = share(m);
    mbufs.externalFrees[1] = undefined;
    expect(() => mbufs.free(copy)).toThrow(ExternalFreeError);
    expect(() => mbufs.free(m)).toThrow(ExternalFreeError);
    expectSound(mbufs, m, copy);
  });

  test('operations that free on their way finish first, then report what a callback threw', () => {
    mbufs.registerExternalFree(6, 'throws late', (holder) => {
      buffers.free(mbufs.words[(holder >> 2) + mbufs.ext + E.buf.at]!);
      throw new RangeError('from ext_free');
    });
    const chain = (): Address => {
      const m = mbufs.gethdr(M_NOWAIT, 1);
      const buf = buffers.alloc(M_NOWAIT);
      const flags = FreebsdFlag.M_RDONLY; // so that append leaves it at 10 bytes
      mbufs.extadd(m, buf, 1024, 6, 0, 0, flags, ExtType.EXT_MOD_TYPE);
      mbufs.words[(m >> 2) + H.len.at] = 10;
      mbufs.append(m, 2000, new Uint8Array(2000));
      mbufs.fixhdr(m);
      return m;
    };
    const m = chain();
    expect(() => mbufs.ensureContig(m, 60)).toThrow(RangeError);
    expectSound(mbufs, mbufs.head);
    expect(mbufs.length(mbufs.head)).toBe(2010);
    mbufs.freem(mbufs.head);
    const head = mbufs.gethdr(M_NOWAIT, 1);
    const other = chain();
    expect(() => mbufs.catpkt(head, other)).toThrow(RangeError);
    expectSound(mbufs, head);
    mbufs.freem(head);
    expectEmpty(mbufs);
  });

  test('without the callback they change nothing; m_freem names where it stopped', () => {
    const m = external();
    const front = mbufs.gethdr(M_NOWAIT, 1);
    mbufs.externalFrees[1] = undefined;
    const attempts = [
      () => mbufs.pullup(m, 20),
      () => mbufs.copyup(m, 20, 0),
      () => mbufs.makewritable(m, 0, 20, M_NOWAIT),
      () => mbufs.copybackCow(m, 0, 1, new Uint8Array(1), M_NOWAIT),
      () => mbufs.defrag(m, M_NOWAIT),
    ];
    for (const attempt of attempts) {
      expect(attempt).toThrow(ExternalFreeError);
      expectSound(mbufs, m, front);
    }
    mbufs.add(front, m);
    let stopped = 0;
    try {
      mbufs.freem(front);
    } catch (error) {
      stopped = (error as ExternalFreeError).mbuf;
    }
    expect(stopped).toBe(m);
    expectSound(mbufs, m);
  });

  test('an id has one name in the arena', () => {
    expect(() => mbufs.registerExternalFree(1, 'other', () => {})).toThrow(ExternalFreeError);
    mbufs.registerExternalFree(1, 'buffers', () => {});
  });
});

describe('attaching is refused, with nothing changed', () => {
  test('where the mbuf has storage', () => {
    const m = mbufs.getcl(M_NOWAIT, 1, 0);
    const buf = buffers.alloc(M_NOWAIT);
    expect(() => mbufs.clget(m, M_NOWAIT)).toThrow(ExternalStorageError);
    expect(() => mbufs.cljget(m, M_NOWAIT, 4096)).toThrow(ExternalStorageError);
    expect(() => mbufs.extadd(m, buf, 64, 1, 0, 0, 0, ExtType.EXT_MOD_TYPE)).toThrow(
      ExternalStorageError,
    );
    const n = mbufs.getcl(M_NOWAIT, 1, 0);
    expect(() => mbufs.addReference(n, m)).toThrow(ExternalStorageError);
    expectSound(mbufs, m, n);
  });

  test('for types, callbacks and ranges that cannot be', () => {
    const m = mbufs.get(M_NOWAIT, 1);
    const buf = buffers.alloc(M_NOWAIT);
    const end = mbufs.bytes.length;
    const attempt = (...args: [number, number, number, number]): (() => void) => {
      const [at, size, free, type] = args;
      return () => mbufs.extadd(m, at as Address, size, free, 0, 0, 0, type);
    };
    expect(attempt(buf, 64, 1, ExtType.EXT_CLUSTER)).toThrow(ExternalStorageError);
    expect(attempt(buf, 64, 1, 0)).toThrow(ExternalStorageError);
    expect(attempt(buf, 64, 9, ExtType.EXT_MOD_TYPE)).toThrow(ExternalStorageError);
    expect(attempt(end - 8, 64, 1, ExtType.EXT_MOD_TYPE)).toThrow(/leave the arena/);
    expect(attempt(buf, -1, 1, ExtType.EXT_MOD_TYPE)).toThrow(/no storage/);
    expect(attempt(Number.NaN, 4, 1, ExtType.EXT_MOD_TYPE)).toThrow(/no storage/);
    expect(attempt(buf, 64, 1, ExtType.EXT_EXTREF)).toThrow(/count word/);
    expect(() => mbufs.cljget(m, M_NOWAIT, 1234)).toThrow(/cluster size/);
    expect(mbufs.words[(m >> 2) + H.flags.at]! & M_EXT).toBe(0);
  });
});
