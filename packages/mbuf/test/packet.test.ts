/** Packets as objects: bytes in and out across segments, what is shared, and how a life ends. */

import type { Address } from '@umbuf/memory';
import { M_EXT, M_PKTHDR, type Mbufs, MbufHeader, type Packet, Packets } from '@umbuf/mbuf';
import { type ForgottenItem, M_NOWAIT, onForgotten, reclaim } from '@umbuf/uma';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import {
  build,
  bytesOf,
  expectEmpty,
  expectSound,
  FailingZones,
  makeMbufs,
  mbufsOf,
  pattern,
  shape,
} from './support.ts';

const H = MbufHeader.fields;

function start(level: 'none' | 'checks' | 'invariants' = 'checks'): {
  mbufs: Mbufs;
  packets: Packets;
} {
  const mbufs = makeMbufs({}, level);
  return { mbufs, packets: Packets.of(mbufs) };
}

function present(packet: Packet | undefined): Packet {
  if (packet === undefined) throw new Error('exhausted');
  return packet;
}

/** A packet over a chain by recipe. */
function over(packets: Packets, recipe: string): { packet: Packet; bytes: Uint8Array } {
  const m = build(packets.mbufs, recipe);
  return { packet: packets.over(m), bytes: bytesOf(packets.mbufs, m) };
}

describe('making packets', () => {
  test.each([0, 1, 168, 169, 2048, 2049, 10_000])('from %i bytes, which are copied', (length) => {
    const { mbufs, packets } = start();
    const bytes = pattern(length);
    const packet = present(packets.from(bytes));
    expect(packet.length).toBe(length);
    expect(bytesOf(mbufs, packet.address)).toEqual(bytes);
    bytes.fill(0);
    expect(packet.toBytes()).toEqual(pattern(length));
    expectSound(mbufs, packet.address);
    packet.free();
    expectEmpty(mbufs);
  });

  test('from text, zeros, and pieces', () => {
    const { mbufs, packets } = start();
    const text = present(packets.from('grün'));
    expect(text.length).toBe(5);
    expect(text.decode()).toBe('grün');
    const zeros = present(packets.alloc(5000));
    expect(zeros.toBytes()).toEqual(new Uint8Array(5000));
    const whole = present(packets.concat([pattern(3000), '', 'abc', pattern(1)]));
    expect(whole.length).toBe(3004);
    expect(whole.indexOf('abc')).toBe(3000);
    for (const packet of [text, zeros, whole]) packet.free();
    expectEmpty(mbufs);
  });

  test('a chain is taken over and given back', () => {
    const { mbufs, packets } = start();
    const m = build(mbufs, 'HC100 C50');
    const packet = packets.over(m);
    expect(packet.address).toBe(m);
    expect(() => packets.over(m)).toThrow(/detach that first/);
    expect(packet.detach()).toBe(m);
    expect(packet.alive).toBe(false);
    expect(mbufs.words[(m >> 2) + H.type.at]).toBe(1);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });

  test('only a packet can be taken over', () => {
    const { mbufs, packets } = start();
    const m = build(mbufs, 'd10');
    expect(() => packets.over(m)).toThrow(/has no packet header/);
    expect(() => packets.over((m + 4) as Address)).toThrow(/already freed|is not the start/);
    mbufs.freem(m);
    expect(() => packets.over(m)).toThrow(/already freed/);
  });
});

describe('reading', () => {
  test('numbers of every kind, in one segment and across', () => {
    const { packets } = start();
    const { packet, bytes } = over(packets, 'h10 d1 d0 C3 d20');
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + 8 <= bytes.length; at++) {
      expect(packet.readUInt8(at)).toBe(view.getUint8(at));
      expect(packet.readInt8(at)).toBe(view.getInt8(at));
      expect(packet.readUInt16BE(at)).toBe(view.getUint16(at));
      expect(packet.readUInt16LE(at)).toBe(view.getUint16(at, true));
      expect(packet.readInt16BE(at)).toBe(view.getInt16(at));
      expect(packet.readInt16LE(at)).toBe(view.getInt16(at, true));
      expect(packet.readUInt32BE(at)).toBe(view.getUint32(at));
      expect(packet.readUInt32LE(at)).toBe(view.getUint32(at, true));
      expect(packet.readInt32BE(at)).toBe(view.getInt32(at));
      expect(packet.readInt32LE(at)).toBe(view.getInt32(at, true));
      expect(packet.readBigUInt64BE(at)).toBe(view.getBigUint64(at));
      expect(packet.readBigUInt64LE(at)).toBe(view.getBigUint64(at, true));
      expect(packet.readBigInt64BE(at)).toBe(view.getBigInt64(at));
      expect(packet.readBigInt64LE(at)).toBe(view.getBigInt64(at, true));
      expect(packet.readFloatBE(at)).toBe(view.getFloat32(at));
      expect(packet.readFloatLE(at)).toBe(view.getFloat32(at, true));
      expect(packet.readDoubleBE(at)).toBe(view.getFloat64(at));
      expect(packet.readDoubleLE(at)).toBe(view.getFloat64(at, true));
    }
    expect(() => packet.readUInt16BE(bytes.length - 1)).toThrow(/2 bytes at 33, but it has 34/);
    expect(() => packet.readUInt8(-1)).toThrow(/1 bytes at -1/);
    expect(() => packet.readUInt8(0.5)).toThrow(/0.5 is no integer/);
    packet.free();
  });

  test('bytes, text, checksum and segments', () => {
    const { mbufs, packets } = start();
    const { packet, bytes } = over(packets, 'h10 C100 d0 d20');
    expect(packet.toBytes(5, -5)).toEqual(bytes.slice(5, -5));
    const target = new Uint8Array(50);
    expect(packet.copy(target, 10, 100)).toBe(30);
    expect(target.subarray(10, 40)).toEqual(bytes.subarray(100));
    expect(packet.copy(target, 45)).toBe(5);
    expect(packet.checksum(3, 90)).toBe(mbufs.checksum(packet.address, 3, 87));
    expect(packet.decode('latin1', 0, 4)).toBe(new TextDecoder('latin1').decode(bytes.slice(0, 4)));
    expect(() => packet.decode('no encoding')).toThrow(/no encoding no encoding/);
    const segments = packet.segments();
    expect(segments.map(({ length }) => length)).toEqual([10, 100, 20]);
    segments[1]![0] = 77;
    expect(packet.readUInt8(10)).toBe(77);
    packet.free();
  });

  test('indexOf finds bytes, text and bytes across segments as Buffer does', () => {
    const { packets } = start();
    const { packet, bytes } = over(packets, 'h10 d1 d0 C300 d20');
    const model = Buffer.from(bytes);
    for (let at = 0; at < bytes.length; at += 3) {
      for (const size of [1, 2, 5, 30]) {
        const needle = bytes.slice(at, at + size);
        for (const from of [0, at, at + 1, -20]) {
          expect(packet.indexOf(needle, from)).toBe(model.indexOf(needle, from));
        }
      }
      expect(packet.indexOf(bytes[at]!)).toBe(model.indexOf(bytes[at]!));
    }
    expect(packet.indexOf(Uint8Array.of(1, 2, 3, 4, 5))).toBe(-1);
    expect(packet.indexOf('', 7)).toBe(7);
    expect(() => packet.indexOf(256)).toThrow(/256 is no byte/);
    expect(packet.hasAt(9, bytes.slice(9, 40))).toBe(true);
    expect(packet.hasAt(9, bytes.slice(10, 40))).toBe(false);
    expect(packet.hasAt(330, bytes)).toBe(false);
    packet.free();
  });

  test('equals compares bytes, however they are cut', () => {
    const { packets } = start();
    const { packet, bytes } = over(packets, 'h10 d1 d0 C300 d20');
    const other = present(packets.from(bytes));
    expect(packet.equals(bytes)).toBe(true);
    expect(packet.equals(other)).toBe(true);
    expect(other.writeUInt8(bytes[200]! ^ 1, 200)).toBe(true);
    expect(packet.equals(other)).toBe(false);
    expect(packet.equals(bytes.slice(1))).toBe(false);
    packet.free();
    other.free();
  });
});

describe('changing', () => {
  test('append, prepend and trim against a model', () => {
    const { mbufs, packets } = start();
    for (let seed = 1; seed <= 60; seed++) {
      const random = pattern(64, seed);
      const packet = present(packets.alloc());
      let model: number[] = [];
      for (let step = 0; step < 16; step++) {
        const length = random[step * 4]! * (random[step * 4 + 1]! % 5 === 0 ? 12 : 1);
        const bytes = pattern(length, step);
        const action = random[step * 4 + 2]! % 4;
        if (action === 0) {
          expect(packet.prepend(bytes)).toBe(true);
          model = [...bytes, ...model];
        } else if (action === 1) {
          const from = Math.min(length, model.length);
          const end = Math.min(random[step * 4 + 3]!, model.length - from);
          packet.trim(from, end);
          model = model.slice(from, model.length - end);
        } else {
          expect(packet.append(bytes)).toBe(true);
          model = [...model, ...bytes];
        }
        expect(packet.length).toBe(model.length);
        expectSound(mbufs, packet.address);
      }
      expect([...packet.toBytes()]).toEqual(model);
      // Empty mbufs do not pile up.
      const empty = mbufsOf(mbufs, packet.address).filter(
        (m) => mbufs.words[(m >> 2) + H.len.at] === 0,
      );
      expect(empty.length).toBeLessThanOrEqual(1);
      packet.free();
      expectEmpty(mbufs);
    }
  });

  test('what is consumed is freed', () => {
    const { mbufs, packets } = start();
    const packet = present(packets.from(pattern(2048 * 10)));
    for (let turn = 0; turn < 100; turn++) {
      expect(packet.append(pattern(1024))).toBe(true);
      packet.trim(1024);
    }
    expect(packet.length).toBe(20480);
    expect(mbufsOf(mbufs, packet.address).length).toBeLessThan(13);
    packet.free();
    expectEmpty(mbufs);
  });

  test('numbers are written where they are read', () => {
    const { mbufs, packets } = start();
    const { packet } = over(packets, 'h10 d1 C3 d20');
    expect(packet.writeUInt16BE(0x1234, 9)).toBe(true);
    expect(packet.writeUInt32LE(0xdeadbeef, 12)).toBe(true);
    expect(packet.writeBigUInt64BE(2n ** 64n - 2n, 20)).toBe(true);
    expect(packet.writeInt8(-1, 0)).toBe(true);
    expect(packet.readUInt16BE(9)).toBe(0x1234);
    expect(packet.readUInt32LE(12)).toBe(0xdeadbeef);
    expect(packet.readBigUInt64BE(20)).toBe(2n ** 64n - 2n);
    expect(packet.readInt8(0)).toBe(-1);
    expect(() => packet.writeUInt8(256, 0)).toThrow(/256 is not an integer/);
    expect(() => packet.writeBigInt64LE(2n ** 63n, 0)).toThrow(/no signed bigint/);
    expect(() => packet.writeInt16LE('1' as never, 0)).toThrow(/not an integer/);
    expect(() => packet.writeUInt16BE(1, 33)).toThrow(/2 bytes at 33/);
    expectSound(mbufs, packet.address);
    packet.free();
  });

  test('a slice shares bytes until one side writes', () => {
    const { mbufs, packets } = start();
    const { packet, bytes } = over(packets, 'HC100 C200 d200');
    for (const [from, to] of [
      [0, 500],
      [50, 250],
      [310, 490],
      [480, 500],
      [0, 0],
    ] as const) {
      const slice = present(packet.slice(from, to));
      expect(slice.toBytes()).toEqual(bytes.slice(from, to));
      expect(slice.length).toBe(to - from);
      expectSound(mbufs, packet.address, slice.address);
      slice.free();
    }
    const slice = present(packet.slice(50, 250));
    expect(slice.segments()[0]!.byteOffset).toBe(packet.segments()[0]!.byteOffset + 50);
    expect(packet.write(new Uint8Array(150), 25)).toBe(true);
    expect(slice.toBytes()).toEqual(bytes.slice(50, 250));
    expect(packet.toBytes(25, 175)).toEqual(new Uint8Array(150));
    expect(slice.writeUInt32BE(1, 60)).toBe(true);
    expect(packet.readUInt32BE(110)).toBe(0);
    expectSound(mbufs, packet.address, slice.address);
    packet.free();
    expect(slice.readUInt32BE(60)).toBe(1);
    slice.free();
    expectEmpty(mbufs);
  });

  test('concat takes the other chain', () => {
    const { mbufs, packets } = start();
    const { packet, bytes } = over(packets, 'HC100 C2000');
    const { packet: other, bytes: more } = over(packets, 'HC1500 C200');
    packet.concat(other);
    expect(other.alive).toBe(false);
    expect(packet.toBytes()).toEqual(Uint8Array.from([...bytes, ...more]));
    expect(shape(mbufs, packet.address)).toBe('HC100 C2000 C1500 C200');
    expect(() => packet.concat(packet)).toThrow(/another Packet/);
    packet.free();
    expectEmpty(mbufs);
  });

  test('on exhaustion nothing has changed', () => {
    const mbufs = makeMbufs();
    const failing = new FailingZones(mbufs);
    const packets = Packets.of(mbufs);
    const { packet, bytes } = over(packets, 'HC2048 C200 d224');
    const shared = present(packet.slice());
    for (const act of [
      () => packet.append(pattern(5000)),
      () => packet.prepend(pattern(5000)),
      () => packet.prepend(pattern(10)),
      () => packet.write(pattern(500), 1900),
      () => packet.writeUInt32BE(5, 2046),
      () => packet.slice(100) !== undefined,
      () => packets.from(pattern(9000)) !== undefined,
      () => packets.alloc(10) !== undefined,
    ]) {
      // Each attempt in turn is the first that fails; at the end all are met and it would succeed.
      for (let at = 1, met = 0; at <= met + 1 && at < 5; at++) {
        failing.arm(at, true);
        const done = act();
        met = failing.count;
        failing.disarm();
        expect(done, String(act)).toBe(false);
        expect(packet.toBytes()).toEqual(bytes);
        expect(shared.toBytes()).toEqual(bytes);
        expectSound(mbufs, packet.address, shared.address);
        if (met < at + 1) break;
      }
    }
    packet.free();
    shared.free();
    expectEmpty(mbufs);
  });
});

describe('streams', () => {
  test('a packet as a Node stream and as a ReadableStream, copied', async () => {
    const { mbufs, packets } = start();
    const { packet, bytes } = over(packets, 'h10 C100 d20');
    const node = packet.toReadable(Readable);
    const web = packet.toReadable(ReadableStream as never as typeof Readable);
    packet.free();
    const again = present(await packets.fromReadable(node));
    expect(again.toBytes()).toEqual(bytes);
    const third = present(await packets.fromReadable(web));
    expect(third.equals(again)).toBe(true);
    again.free();
    third.free();
    expectEmpty(mbufs);
  });

  test('a stream that fails, or exhausts the arena, leaves nothing behind', async () => {
    const mbufs = makeMbufs();
    const failing = new FailingZones(mbufs);
    const packets = Packets.of(mbufs);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield pattern(3000);
      throw new Error('cut off');
    }
    await expect(packets.fromReadable(broken())).rejects.toThrow('cut off');
    await expect(packets.fromReadable([5] as never)).rejects.toThrow(/neither a Uint8Array/);
    let ended = false;
    function* endless(): Generator<Uint8Array> {
      try {
        for (;;) yield pattern(3000);
      } finally {
        ended = true;
      }
    }
    failing.arm(9, true);
    expect(await packets.fromReadable(endless())).toBeUndefined();
    failing.disarm();
    expect(ended).toBe(true);
    expectEmpty(mbufs);
  });
});

describe.each(['none', 'checks', 'invariants'] as const)('lives at level %s', (level) => {
  /** Everything of a Packet that needs a living one. */
  const uses: readonly ((packet: Packet) => unknown)[] = [
    (packet) => packet.length,
    (packet) => packet.address,
    (packet) => packet.free(),
    (packet) => packet.detach(),
    (packet) => packet.handOver(),
    (packet) => packet.segments(),
    (packet) => packet.toBytes(),
    (packet) => packet.copy(new Uint8Array(4)),
    (packet) => packet.decode(),
    (packet) => packet.toReadable(Readable),
    (packet) => packet.indexOf(1),
    (packet) => packet.equals('a'),
    (packet) => packet.hasAt(0, 'a'),
    (packet) => packet.checksum(),
    (packet) => packet.append('a'),
    (packet) => packet.append(''),
    (packet) => packet.prepend('a'),
    (packet) => packet.write('a'),
    (packet) => packet.write(''),
    (packet) => packet.trim(0),
    (packet) => packet.slice(),
    (packet) => packet.readUInt8(0),
    (packet) => packet.readUInt32BE(0),
    (packet) => packet.writeUInt8(1, 0),
    (packet) => packet.writeDoubleLE(1, 0),
  ];

  function expectStale(packet: Packet, mbufs: Mbufs, ...chains: Address[]): void {
    expect(packet.alive).toBe(false);
    for (const use of uses) {
      expect(() => use(packet), String(use)).toThrow(
        expect.objectContaining({ name: 'StaleItemError' }),
      );
    }
    expectSound(mbufs, ...chains);
  }

  test('freed by the object, by address, and reused', () => {
    const { mbufs, packets } = start(level);
    const packet = present(packets.from('some bytes'));
    packet.free();
    expectStale(packet, mbufs);
    packet[Symbol.dispose]();
    const second = present(packets.from('some bytes'));
    const at = second.address;
    mbufs.freem(at);
    expectStale(second, mbufs);
    // The same mbuf with another packet, and with another object over it.
    const m = mbufs.gethdr(M_NOWAIT, 1);
    expect(m).toBe(at);
    expectStale(second, mbufs, m);
    const third = packets.over(m);
    expectStale(second, mbufs, m);
    third.free();
    expect(() => second[Symbol.dispose]()).toThrow(
      expect.objectContaining({ name: 'StaleItemError' }),
    );
    expectEmpty(mbufs);
  });

  test('parked for those that share its storage', () => {
    const { mbufs, packets } = start(level);
    const packet = present(packets.from(pattern(1000)));
    const slice = present(packet.slice());
    mbufs.freem(packet.address);
    expectStale(packet, mbufs, slice.address);
    expect(slice.toBytes()).toEqual(pattern(1000));
    slice.free();
    expectEmpty(mbufs);
  });

  test("the page is another zone's, and says the same word", () => {
    const { mbufs, packets } = start(level);
    const packet = present(packets.from('some bytes'));
    const at = packet.address;
    const word = (at >> 2) + H.type.at;
    const stamp = mbufs.words[word]!;
    packet.free();
    const stale = present(packets.from('other bytes'));
    expect(stale.address).toBe(at);
    const staleStamp = mbufs.words[word]!;
    expect(staleStamp).not.toBe(stamp);
    mbufs.freem(at);
    reclaim(mbufs.uma, 'drain-cpu');
    const zone = mbufs.uma.open({ name: 'pages', size: 4096 });
    const items: Address[] = [];
    while (!items.some((item) => item <= at && at < item + 4096)) {
      const item = zone.alloc(M_NOWAIT);
      if (item === 0) throw new Error('the page did not come back');
      items.push(item);
    }
    mbufs.words[word] = staleStamp;
    expect(stale.alive).toBe(false);
    expect(() => stale.length).toThrow(expect.objectContaining({ name: 'StaleItemError' }));
    for (const item of items) zone.free(item);
  });

  test('handed over: one adopts, once, in the same arena', () => {
    const { mbufs, packets } = start(level);
    const packet = present(packets.from('some bytes'));
    const message = structuredClone(packet.handOver());
    expectStale(packet, mbufs, message.address);
    const adopted = packets.adopt(message);
    expect(adopted.decode()).toBe('some bytes');
    expect(() => packets.adopt(message)).toThrow(
      expect.objectContaining({ name: 'StaleItemError' }),
    );
    const late = adopted.handOver();
    mbufs.freem(late.address);
    expect(() => packets.adopt(late)).toThrow(expect.objectContaining({ name: 'StaleItemError' }));
    const elsewhere = Packets.of(makeMbufs({}, level));
    const foreign = present(packets.from('x'));
    expect(() => elsewhere.adopt(foreign.handOver())).toThrow(
      expect.objectContaining({ name: 'ForeignItemError' }),
    );
    for (const forged of [
      null,
      5,
      {},
      { ...late, address: -4 },
      { ...late, address: 0.5 },
      { ...late, address: 2 ** 40 },
      { ...late, stamp: 1 },
      { ...late, stamp: 'x' },
      { ...late, epoch: undefined },
      { ...late, arena: 1n },
    ]) {
      expect(() => packets.adopt(forged as never)).toThrow(
        expect.objectContaining({ name: 'ForeignItemError' }),
      );
    }
    const other = present(elsewhere.from('x'));
    const here = present(packets.from('y'));
    expect(() => here.concat(other)).toThrow(expect.objectContaining({ name: 'ForeignItemError' }));
  });

  test('the head may change, the life goes on', () => {
    const { mbufs, packets } = start(level);
    const { packet, bytes } = over(packets, 'HC2048 C100');
    expect(packet.prepend('front')).toBe(true);
    expect(packet.toBytes(5)).toEqual(bytes);
    const slice = present(packet.slice(5));
    packet.trim(5 + 2048);
    expect(slice.write('new', 0)).toBe(true);
    expectSound(mbufs, packet.address, slice.address);
    const interior = mbufsOf(mbufs, packet.address);
    expect(interior.filter((m) => mbufs.words[(m >> 2) + H.type.at]! >>> 8 !== 0).length).toBe(1);
    packet.free();
    slice.free();
    expectEmpty(mbufs);
  });
});

test('plain operations on the address of a packet see its m_type only', () => {
  const { mbufs, packets } = start();
  const packet = present(packets.from(pattern(3000)));
  const m = packet.address;
  expect(mbufs.print(m)).toContain('type=1,');
  const copy = mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT);
  expect(mbufs.words[(copy >> 2) + H.type.at]).toBe(1);
  mbufs.verifyPacket(m);
  expect((mbufs.words[(m >> 2) + H.flags.at]! & (M_EXT | M_PKTHDR)) !== 0).toBe(true);
  mbufs.freem(copy);
  expectSound(mbufs, m);
  mbufs.freem(m);
  expectEmpty(mbufs);
});

test('a packet that nobody freed is reported from level checks on', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { packets } = start();
  const seen: ForgottenItem[] = [];
  const stop = onForgotten((item) => seen.push(item));
  function forgetOne(): Address {
    present(packets.from('freed')).free();
    present(packets.from('detached')).detach();
    return present(packets.from('lost')).address;
  }
  const lost = forgetOne();
  await vi.waitFor(
    () => {
      collect();
      // Those of other tests are there, too.
      expect(seen.map(({ address }) => address)).toContain(lost);
    },
    { timeout: 20_000 },
  );
  stop();
  const ours = seen.filter(({ stack }) => stack.includes('forgetOne'));
  expect(ours.map(({ zone, address }) => [zone, address])).toEqual([['mbuf', lost]]);
});
