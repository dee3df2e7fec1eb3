/** m_reclaim: protocols first, then interfaces; counted; what throws stops nobody. */

import { expect, test } from 'vitest';
import { MbufError } from '../src/index.ts';
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
