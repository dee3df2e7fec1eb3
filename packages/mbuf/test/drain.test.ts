/** m_reclaim: protocols first, then interfaces; counted; what throws stops nobody. */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT, M_WAITOK } from '@umbuf/uma';
import { expect, test } from 'vitest';
import { M_PKTHDR, MbufError } from '../src/index.ts';
import { makeMbufs } from './support.ts';

test('hooks run in the order of their registration, protocols first, and each call counts', () => {
  const mbufs = makeMbufs();
  const ran: string[] = [];
  mbufs.registerDrain('interface', () => ran.push('interface'));
  mbufs.registerDrain('protocol', () => ran.push('first'));
  const remove = mbufs.registerDrain('protocol', () => ran.push('second'));
  expect(mbufs.reclaim()).toEqual({ protocol: 2, interface: 1 });
  expect(ran).toEqual(['first', 'second', 'interface']);
  remove();
  remove();
  expect(mbufs.reclaim()).toEqual({ protocol: 1, interface: 1 });
  expect(mbufs.drains()).toBe(2);
});

test('an error of a hook is thrown behind the last one, the first only', () => {
  const mbufs = makeMbufs();
  const ran: string[] = [];
  mbufs.registerDrain('protocol', () => {
    throw new Error('first');
  });
  mbufs.registerDrain('protocol', () => {
    throw new Error('second');
  });
  mbufs.registerDrain('interface', () => ran.push('interface'));
  expect(() => mbufs.reclaim()).toThrow('first');
  expect([ran, mbufs.drains()]).toEqual([['interface'], 1]);
  expect(() => mbufs.registerDrain('protocol', 7 as never)).toThrow(MbufError);
});

test('the hooks run when the arena is out of pages, and what they free is had at once', () => {
  const mbufs = makeMbufs({}, 'checks', 1 << 20);
  const parked: Address[] = [];
  for (;;) {
    const m = mbufs.getcl(M_NOWAIT, 1, M_PKTHDR);
    if (m === NULL) break;
    parked.push(m);
  }
  let calls = 0;
  mbufs.registerDrain('protocol', () => {
    calls++;
    for (const m of parked.splice(0, 20)) mbufs.freem(m);
  });
  const before = mbufs.drains();
  const m = mbufs.cljget(NULL, M_WAITOK, 9216);
  expect(m).not.toBe(NULL);
  expect(calls).toBeGreaterThan(0);
  expect(mbufs.drains() - before).toBe(calls);
});
