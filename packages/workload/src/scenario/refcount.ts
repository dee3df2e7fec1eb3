/**
 * refcount: the central case. Many CPUs share, copy, split and free references to the same
 * clusters. Each chain's payload names itself; a CPU that gets a reference knows what must be in
 * it, so storage that is freed early and used again is seen by whoever still looks.
 *
 * A message on a ring is two words: the chain's address and the identity of its payload.
 */

import { type Address, ringPopMany, ringPushMany } from '@umbuf/memory';
import { M_PKTHDR, Mbufs } from '@umbuf/mbuf';
import { M_NOWAIT } from '@umbuf/uma';
import { defineScenario, type Scenario, type ScenarioCpu } from './scenario.ts';

const MT_DATA = 1;
/** Bytes of payload that are written and verified. */
const PAYLOAD = 64;
const HELD_MAX = 64;
const STORAGE = [2048, 2048, 4096, 9216];

interface Held {
  readonly chain: Address;
  readonly identity: number;
}

interface State {
  readonly mbufs: Mbufs;
  readonly held: Held[];
  readonly bytes: Uint8Array;
  readonly message: Int32Array;
  sequence: number;
}

const refcount: Scenario<State> = defineScenario<State>({
  name: 'refcount',
  what: 'many CPUs share, copy and free references to the same clusters',
  zones: [],
  ringSlots: 512,
  attach: (uma) => void Mbufs.attach(uma),
  watched: ['mbuf', 'mbuf_cluster', 'mbuf_packet', 'mbuf_jumbo_page', 'mbuf_jumbo_9k'],
  start: (cpu) => ({
    mbufs: Mbufs.attach(cpu.uma),
    held: [],
    bytes: new Uint8Array(PAYLOAD),
    message: new Int32Array(2),
    sequence: 0,
  }),
  step(cpu, state) {
    let operations = receive(cpu, state);
    const { random } = cpu;
    for (let n = 0; n < 8; n++) {
      operations++;
      if (state.held.length === 0 || (state.held.length < HELD_MAX && random.chance(20))) {
        create(cpu, state);
        continue;
      }
      const at = random.below(state.held.length);
      const one = state.held[at]!;
      verify(cpu, state, one);
      if (state.held.length < HELD_MAX && random.chance(45)) share(cpu, state, one);
      else if (random.chance(50)) send(cpu, state, at);
      else drop(cpu, state, at);
    }
    return operations;
  },
  finish(cpu, state) {
    while (receive(cpu, state) > 0);
    while (state.held.length > 0) drop(cpu, state, 0);
  },
});

/** A packet of one or two storages, with the payload that names it in the first. */
function create(cpu: ScenarioCpu, state: State): void {
  const { mbufs } = state;
  const size = STORAGE[cpu.random.below(STORAGE.length)]!;
  const chain = mbufs.getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, size);
  if (chain === 0) return;
  cpu.count(1, 0);
  const identity = ((cpu.index + 1) << 24) | (++state.sequence & 0xffffff);
  fill(state.bytes, identity);
  if (!mbufs.copyback(chain, 0, PAYLOAD, state.bytes)) {
    mbufs.freem(chain);
    cpu.count(0, 1);
    return;
  }
  state.held.push({ chain, identity });
}

/** Another reference to the same storage: by copym, or the tail of a split of one. */
function share(cpu: ScenarioCpu, state: State, { chain, identity }: Held): void {
  const { mbufs } = state;
  const copy = mbufs.copym(chain, 0, mbufs.copyAll, M_NOWAIT);
  if (copy === 0) return;
  cpu.count(1, 0);
  // We hold two references ourselves, so whatever the others do, neither may be written through.
  cpu.expect(
    !mbufs.writable(copy) && !mbufs.writable(chain),
    '14: mbuf layer',
    `${chain} and its shared copy ${copy}: one says that it is writable`,
  );
  state.held.push({ chain: copy, identity });
}

function send(cpu: ScenarioCpu, state: State, at: number): void {
  const to = cpu.random.below(cpu.cpus);
  const { chain, identity } = state.held[at]!;
  if (to === cpu.index) return;
  state.message[0] = chain;
  state.message[1] = identity;
  // Messages are two words on both sides, so the ring takes both or neither.
  const ring = cpu.ring(cpu.index, to);
  if (ringPushMany(cpu.uma.words, ring, state.message, 0, 2) === 0) return drop(cpu, state, at);
  removeAt(state.held, at);
}

function receive(cpu: ScenarioCpu, state: State): number {
  let count = 0;
  for (let from = 0; from < cpu.cpus; from++) {
    if (from === cpu.index) continue;
    const ring = cpu.ring(from, cpu.index);
    for (let n = 0; n < 32; n++) {
      if (ringPopMany(cpu.uma.words, ring, state.message, 0, 2) === 0) break;
      const one = { chain: state.message[0] as Address, identity: state.message[1]! };
      verify(cpu, state, one);
      state.held.push(one);
      if (state.held.length > HELD_MAX) drop(cpu, state, cpu.random.below(state.held.length));
      count++;
    }
  }
  return count;
}

function drop(cpu: ScenarioCpu, state: State, at: number): void {
  const one = state.held[at]!;
  verify(cpu, state, one);
  removeAt(state.held, at);
  state.mbufs.freem(one.chain);
  cpu.count(0, 1);
}

/** The payload must be the one that the chain was made with, whoever else has let go of it. */
function verify(cpu: ScenarioCpu, state: State, { chain, identity }: Held): void {
  const { mbufs, bytes } = state;
  mbufs.copydata(chain, 0, PAYLOAD, bytes);
  for (let at = 0; at < PAYLOAD; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    if (word === expected(identity, at)) continue;
    cpu.expect(
      false,
      '14: mbuf layer',
      `chain ${chain} (identity ${identity}) holds ${word} at ${at}: its storage was used by another`,
    );
    return;
  }
}

function fill(bytes: Uint8Array, identity: number): void {
  for (let at = 0; at < PAYLOAD; at += 4) {
    const word = expected(identity, at);
    bytes[at] = word;
    bytes[at + 1] = word >> 8;
    bytes[at + 2] = word >> 16;
    bytes[at + 3] = word >> 24;
  }
}

function expected(identity: number, at: number): number {
  return (Math.imul(identity, 0x9e3779b1) + at) | 0;
}

function removeAt(held: Held[], at: number): void {
  held[at] = held[held.length - 1]!;
  held.pop();
}

export default refcount;
