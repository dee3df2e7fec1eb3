/**
 * Packets from one CPU to another: allocated here, 32 at a time through a ring of 1024, freed there;
 * full buckets come back through the zone. Against the ring alone with the same two threads.
 */

import {
  HandKind,
  initRing,
  releaseSlot,
  reserveSlot,
  ringPushMany,
  ringWords,
  takePages,
} from '@umbuf/memory';
import { M_NOWAIT, type Zone } from '@umbuf/uma';
import { compare } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { Board, SecondCpu } from '../lib/second-cpu.ts';
import { bootSystem, itemZone, type System } from '../lib/system.ts';
import { ITEMS, PIPE, RING } from './zone-pipe.worker.ts';

const CAPACITY = 1024;
const BURST = 32;

export async function measure(_name: string, effort: Effort): Promise<Measurement> {
  const system = bootSystem(64);
  const { arena, uma } = system;
  const zone = uma.open(itemZone);
  const ring = makeRing(system);
  const other = await SecondCpu.start('micro/zone-pipe.worker.js', arena.handle(), ring);
  const measured = compare(
    { name: 'pipe', operations: ITEMS, pass: pipePass(zone, ring, other) },
    { name: 'the ring alone', operations: ITEMS, pass: ringPass(zone.uma.words, ring, other) },
    effort,
  );
  await other.stop();
  const { live } = zone.statistics();
  return { ...measured, holds: live === 0, note: `${live} items live at the end` };
}

function makeRing({ cpu, arena }: System): number {
  const pages = Math.ceil((ringWords(CAPACITY) * 4) / 4096);
  const slot = reserveSlot(cpu);
  const ring = takePages(cpu, pages, 0, slot) >> 2;
  cpu.words[slot] = HandKind.none;
  releaseSlot(cpu, slot);
  if (ring === 0) throw new Error('no pages for the ring');
  initRing(arena.words, ring, CAPACITY);
  return ring;
}

function pipePass(zone: Zone, ring: number, other: SecondCpu): () => void {
  const { words } = zone.uma;
  const burst = new Int32Array(BURST);
  return () => {
    other.order(PIPE);
    for (let sent = 0; sent < ITEMS; sent += BURST) {
      for (let index = 0; index < BURST; index++) burst[index] = zone.alloc(M_NOWAIT);
      for (let at = 0; at < BURST; ) at += ringPushMany(words, ring, burst, at, BURST - at);
    }
    untilDone(other);
  };
}

function ringPass(
  words: Int32Array<SharedArrayBuffer>,
  ring: number,
  other: SecondCpu,
): () => void {
  const burst = Int32Array.from({ length: BURST }, (_, index) => index + 1);
  return () => {
    other.order(RING);
    for (let sent = 0; sent < ITEMS; sent += BURST) {
      for (let at = 0; at < BURST; ) at += ringPushMany(words, ring, burst, at, BURST - at);
    }
    untilDone(other);
  };
}

/** The worker sets the command to 0 behind the last item: everything it did is in the time. */
function untilDone(other: SecondCpu): void {
  while (Atomics.load(other.words, Board.command) !== 0);
}
