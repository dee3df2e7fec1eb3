/** m_verify_packet's complaints, and m_print's text with plain pointers. */

import type { Address } from '@umbuf/memory';
import { expect, test } from 'vitest';
import { MbufHeader, PacketError, PacketHeader } from '../src/index.ts';
import { build, makeMbufs } from './support.ts';

const H = MbufHeader.fields;
const P = PacketHeader.fields;

test('a sound packet passes, one with an empty mbuf too unless the quirks are on (B1)', () => {
  for (const quirks of ['none', 'netbsd-1.191'] as const) {
    const mbufs = makeMbufs({ preset: 'netbsd', quirks });
    const m = build(mbufs, 'h20 d30 C400');
    mbufs.verifyPacket(m);
    const empty = build(mbufs, 'h20 d0');
    const verify = (): void => {
      mbufs.verifyPacket(empty);
    };
    if (quirks === 'none') verify();
    else expect(verify).toThrow('m_verify_packet: incorrect length (len = 0)');
  }
});

test.each([
  [
    'no header',
    (w: Int32Array, m: number) => {
      w[m + H.flags.at]! &= ~2;
    },
    "mbuf doesn't have M_PKTHDR",
  ],
  [
    'a wrong sum',
    (w: Int32Array, _m: number, header: number) => {
      w[header + P.len.at] = 7;
    },
    'inconsistent mbuf length (20 != 7)',
  ],
  [
    'a queued packet',
    (w: Int32Array, m: number) => {
      w[m + H.nextpkt.at] = m << 2;
    },
    'm_nextpkt != NULL',
  ],
  [
    'a negative length',
    (w: Int32Array, m: number) => {
      w[m + H.len.at] = -1;
    },
    'incorrect length (len = -1)',
  ],
  [
    'data before its area',
    (w: Int32Array, m: number) => {
      w[m + H.data.at]! -= 400;
    },
    'data before its buffer',
  ],
  [
    'data behind its area',
    (w: Int32Array, m: number) => {
      w[m + H.data.at]! += 400;
    },
    'data behind its buffer',
  ],
])('%s is found', (_what, spoil, message) => {
  const mbufs = makeMbufs();
  const m = build(mbufs, 'h20');
  spoil(mbufs.words, m >> 2, (m >> 2) + mbufs.pkthdr);
  expect(() => {
    mbufs.verifyPacket(m);
  }).toThrow(PacketError);
  expect(() => {
    mbufs.verifyPacket(m);
  }).toThrow(`m_verify_packet: ${message}`);
});

test('an mbuf prints as the kernel prints it, a chain with the modifier c', () => {
  const mbufs = makeMbufs({ preset: 'netbsd' });
  const m = build(mbufs, 'h20 C400');
  const names = new Map<number, string>([
    [0, '-'],
    [m, 'first'],
  ]);
  const next = mbufs.words[(m >> 2) + H.next.at]! as Address;
  names.set(next, 'second');
  const pointer = (kind: string, value: number): string => `${kind}:${names.get(value) ?? '+'}`;
  const first = mbufs.print(m, '', pointer);
  expect(first).toBe(
    'MBUF mbuf:first\n' +
      '  data=data:+, len=20, type=1, flags=0x2<PKTHDR>\n' +
      '  owner=owner:-, next=mbuf:second, nextpkt=mbuf:-\n' +
      '  leadingspace=0, trailingspace=380, readonly=0\n' +
      '  pktlen=420, rcvif=interface:-, csum_flags=0x0, csum_data=0x0, segsz=0\n',
  );
  const chain = mbufs.print(m, 'xc', pointer);
  expect(chain).toBe(
    `${first}MBUF mbuf:second\n` +
      '  data=data:+, len=400, type=1, flags=0x9000001<EXT,EXT_CLUSTER,EXT_RW>\n' +
      '  owner=owner:-, next=mbuf:-, nextpkt=mbuf:-\n' +
      '  leadingspace=0, trailingspace=1648, readonly=0\n' +
      '  ext_refcnt=1, ext_buf=storage:+, ext_size=2048, ext_free=function:-, ext_arg=argument:-\n',
  );
  expect(mbufs.print(m)).toMatch(/^MBUF 0x[0-9a-f]+\n {2}data=0x/);
});
