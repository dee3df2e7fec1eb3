/** The second CPU of zone-pipe: takes ITEMS values off the ring, and frees them or not. */

import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Arena, claimCpu, releaseCpu, ringPopMany } from '@umbuf/memory';
import { Uma, type Zone } from '@umbuf/uma';
import { Board, IDLE, type SecondCpuData, STOP } from '../lib/second-cpu.ts';
import { itemZone } from '../lib/system.ts';

/** Items of one pass, a multiple of both sides' bursts. */
export const ITEMS = 9600;
export const PIPE = 1;
export const RING = 2;

const BURST = 32;
/** Looks at the command before the worker sleeps on it: between two passes it never does. */
const LOOKS = 100_000;

if (!isMainThread) serve(workerData as SecondCpuData);

function serve({ arena, board, shared: ring }: SecondCpuData): void {
  const words = new Int32Array(board);
  const cpu = claimCpu(Arena.attach(arena), { number: 1 });
  const zone = Uma.attach(cpu).open(itemZone);
  const arenaWords = cpu.words;
  parentPort!.postMessage('ready');
  for (;;) {
    const command = nextCommand(words);
    if (command === STOP) break;
    if (command === PIPE) takeAndFree(arenaWords, ring, zone);
    else take(arenaWords, ring);
    Atomics.store(words, Board.command, IDLE);
  }
  releaseCpu(cpu);
}

function nextCommand(words: Int32Array<SharedArrayBuffer>): number {
  for (let looks = 0; ; looks++) {
    const command = Atomics.load(words, Board.command);
    if (command !== IDLE) return command;
    if (looks > LOOKS) Atomics.wait(words, Board.command, IDLE);
  }
}

function takeAndFree(words: Int32Array<SharedArrayBuffer>, ring: number, zone: Zone): void {
  const burst = new Int32Array(BURST);
  for (let taken = 0; taken < ITEMS; ) {
    const got = ringPopMany(words, ring, burst, 0, BURST);
    for (let index = 0; index < got; index++) zone.free(burst[index]!);
    taken += got;
  }
}

function take(words: Int32Array<SharedArrayBuffer>, ring: number): void {
  const burst = new Int32Array(BURST);
  for (let taken = 0; taken < ITEMS; ) taken += ringPopMany(words, ring, burst, 0, BURST);
}
