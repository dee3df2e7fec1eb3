/**
 * Ops for hand-written generators (`check.generators`): no transform, no build step. A site is a
 * label, which reports print and which tells accesses apart; use one label per place in the code.
 *
 *     function* pop(s) { const h = yield op.load('pop: head', s.head, 0); ... }
 */
import * as rt from './ops.ts';
import type { Op } from './protocol.ts';

const labels = new Map<string, number>();

function site(label: string): number {
  let at = labels.get(label);
  if (at === undefined) {
    const described = { line: 0, column: 0, kind: 'hand', text: label, function: '' };
    at = rt.module({ file: '', sites: [described] });
    labels.set(label, at);
  }
  return at;
}

type Args = readonly unknown[];

/** The ops of `Atomics`, of elements, DataViews and bulk methods, by label. */
export const op: {
  load(label: string, array: unknown, index: number): Op;
  store(label: string, array: unknown, index: number, value: unknown): Op;
  add(label: string, array: unknown, index: number, value: unknown): Op;
  sub(label: string, array: unknown, index: number, value: unknown): Op;
  and(label: string, array: unknown, index: number, value: unknown): Op;
  or(label: string, array: unknown, index: number, value: unknown): Op;
  xor(label: string, array: unknown, index: number, value: unknown): Op;
  exchange(label: string, array: unknown, index: number, value: unknown): Op;
  compareExchange(label: string, array: unknown, index: number, from: unknown, to: unknown): Op;
  wait(label: string, array: unknown, index: number, value: unknown, timeout?: number): Op;
  waitAsync(label: string, array: unknown, index: number, value: unknown, timeout?: number): Op;
  notify(label: string, array: unknown, index: number, count?: number): Op;
  pause(label: string): Op;
  read(label: string, array: unknown, index: number): Op;
  write(label: string, array: unknown, index: number, value: unknown): Op;
  viewGet(label: string, view: DataView, method: string, args: Args): Op;
  viewSet(label: string, view: DataView, method: string, args: Args): Op;
  bulk(label: string, receiver: unknown, method: string, args: Args): Op;
  point(label: string): Op;
} = {
  load: (label, array, index) => rt.load(site(label), array, index),
  store: (label, array, index, value) => rt.store(site(label), array, index, value),
  add: (label, array, index, value) => rt.add(site(label), array, index, value),
  sub: (label, array, index, value) => rt.sub(site(label), array, index, value),
  and: (label, array, index, value) => rt.and(site(label), array, index, value),
  or: (label, array, index, value) => rt.or(site(label), array, index, value),
  xor: (label, array, index, value) => rt.xor(site(label), array, index, value),
  exchange: (label, array, index, value) => rt.exchange(site(label), array, index, value),
  compareExchange: (label, array, index, from, to) =>
    rt.compareExchange(site(label), array, index, from, to),
  wait: (label, array, index, value, timeout) => rt.wait(site(label), array, index, value, timeout),
  waitAsync: (label, array, index, value, timeout) =>
    rt.waitAsync(site(label), array, index, value, timeout),
  notify: (label, array, index, count) => rt.notify(site(label), array, index, count),
  pause: (label) => rt.pause(site(label)),
  read: (label, array, index) => rt.read(site(label), array, index),
  write: (label, array, index, value) => rt.write(site(label), array, index, value),
  viewGet: (label, view, method, args) => rt.viewGet(site(label), view, method, args),
  viewSet: (label, view, method, args) => rt.viewSet(site(label), view, method, args),
  bulk: (label, receiver, method, args) => rt.bulk(site(label), receiver, method, args),
  point: (label) => rt.point(site(label)),
};
