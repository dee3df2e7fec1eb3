/**
 * A Treiber stack of numbered nodes in a BigInt64 head: tag in the upper half, node in the lower.
 * `tagged: false` leaves the tag alone: the ABA problem.
 */
import { op, type Steps } from '../../src/index.ts';

export interface Stack {
  readonly head: BigInt64Array;
  /** next[i] of node i; node 0 is none. */
  readonly next: Int32Array;
  readonly tagged: boolean;
}

export function makeStack(tagged: boolean, nodes: number): Stack {
  const sab = new SharedArrayBuffer(8 + 4 * 8);
  const stack = { head: new BigInt64Array(sab, 0, 1), next: new Int32Array(sab, 8, 8), tagged };
  // Node 1 on top.
  for (let i = nodes; i > 0; i--) {
    stack.next[i] = Number(stack.head[0]);
    stack.head[0] = BigInt(i);
  }
  return stack;
}

export function* pop(s: Stack): Steps<number> {
  for (;;) {
    const head: bigint = yield op.load('pop: load head', s.head, 0);
    const node = Number(head & 0xffffn);
    if (node === 0) return 0;
    const next: number = yield op.load('pop: load next', s.next, node);
    const tag = s.tagged ? (head >> 32n) + 1n : 0n;
    const seen: bigint = yield op.compareExchange(
      'pop: CAS head',
      s.head,
      0,
      head,
      (tag << 32n) | BigInt(next),
    );
    if (seen === head) return node;
  }
}

export function* push(s: Stack, node: number): Steps<void> {
  for (;;) {
    const head: bigint = yield op.load('push: load head', s.head, 0);
    yield op.store('push: store next', s.next, node, Number(head & 0xffffn));
    const tag = s.tagged ? (head >> 32n) + 1n : 0n;
    const seen: bigint = yield op.compareExchange(
      'push: CAS head',
      s.head,
      0,
      head,
      (tag << 32n) | BigInt(node),
    );
    if (seen === head) return;
  }
}

/** Nodes on the stack, top first; stops at a cycle. */
export function content(s: Stack): number[] {
  const nodes: number[] = [];
  for (let i = Number((s.head[0] as bigint) & 0xffffn); i !== 0 && nodes.length < 9; ) {
    nodes.push(i);
    i = s.next[i] as number;
  }
  return nodes;
}
