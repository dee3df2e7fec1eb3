/** mbufq against an array. */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENOBUFS, FreebsdType, MbufHeader, PacketQueue } from '../src/index.ts';
import { expectEmpty, makeMbufs } from './support.ts';

const { MT_DATA } = FreebsdType;
const NEXTPKT = MbufHeader.fields.nextpkt.at;
const seed = Number(process.env['UMBUF_SEED'] ?? 0x9ee);

test(`a queue does what an array does (seed ${seed})`, () => {
  const kinds = ['enqueue', 'enqueue', 'dequeue', 'prepend', 'concat', 'flush', 'drain'] as const;
  fc.assert(
    fc.property(
      fc.integer({ min: -1, max: 4 }),
      fc.array(fc.constantFrom(...kinds), { maxLength: 60 }),
      (max, operations) => {
        const mbufs = makeMbufs({}, 'checks', 2 << 20);
        const zone = mbufs.uma.open({ name: 'queues', size: 16 });
        const place = zone.alloc(M_NOWAIT);
        const queue = PacketQueue.init(mbufs, place, max);
        const other = PacketQueue.init(mbufs, zone.alloc(M_NOWAIT), 0);
        let model: Address[] = [];
        for (const kind of operations) {
          if (kind === 'enqueue') {
            const m = mbufs.gethdr(M_NOWAIT, MT_DATA);
            const full = max > 0 && model.length >= max;
            expect(queue.full()).toBe(full);
            expect(queue.enqueue(m)).toBe(full ? ENOBUFS : 0);
            if (full) mbufs.freem(m);
            else model.push(m);
          } else if (kind === 'prepend') {
            const m = mbufs.gethdr(M_NOWAIT, MT_DATA);
            queue.prepend(m);
            model.unshift(m);
          } else if (kind === 'concat') {
            const more = [mbufs.gethdr(M_NOWAIT, MT_DATA), mbufs.gethdr(M_NOWAIT, MT_DATA)];
            for (const m of more) other.enqueue(m);
            queue.concat(other);
            expect([other.length(), other.first(), other.last()]).toEqual([0, NULL, NULL]);
            queue.concat(other);
            model.push(...more);
          } else if (kind === 'dequeue') {
            const m = queue.dequeue();
            expect(m).toBe(model.shift() ?? NULL);
            if (m !== NULL) expect(mbufs.words[(m >> 2) + NEXTPKT]).toBe(0);
            if (m !== NULL) mbufs.freem(m);
          } else if (kind === 'flush') {
            let at = queue.flush();
            for (const m of model) {
              expect(at).toBe(m);
              at = mbufs.words[(m >> 2) + NEXTPKT]! as Address;
              mbufs.freem(m);
            }
            expect(at).toBe(NULL);
            model = [];
          } else {
            queue.drain();
            model = [];
          }
          // Another object over the same words.
          const view = PacketQueue.at(mbufs, place);
          expect(view.length()).toBe(model.length);
          expect([view.first(), view.last()]).toEqual([model[0] ?? NULL, model.at(-1) ?? NULL]);
        }
        queue.drain();
        expectEmpty(mbufs);
      },
    ),
    { seed, numRuns: 100 },
  );
});

test('a queue is refused where none can be, and behind itself', () => {
  const mbufs = makeMbufs();
  for (const bad of [0, 6, -4, NaN, 2 ** 31, mbufs.bytes.length - 12]) {
    expect(() => PacketQueue.at(mbufs, bad as Address)).toThrow(ArgumentError);
  }
  const place = mbufs.uma.open({ name: 'queues', size: 16 }).alloc(M_NOWAIT);
  expect(() => PacketQueue.init(mbufs, place, 1.5)).toThrow(ArgumentError);
  const queue = PacketQueue.init(mbufs, place, 1);
  expect(() => {
    queue.concat(queue);
  }).toThrow(ArgumentError);
});
