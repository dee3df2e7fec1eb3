/** The second CPU of zone-scale-cpus: one of the two loops, until the command changes. */

import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Arena, claimCpu, releaseCpu } from '@umbuf/memory';
import { Uma } from '@umbuf/uma';
import { bareBatch, zoneBatch } from '../lib/baseline.ts';
import { Board, IDLE, type SecondCpuData, sharedNow, STOP } from '../lib/second-cpu.ts';
import { itemZone } from '../lib/system.ts';

export const ZONE_LOOP = 1;
export const BARE_LOOP = 2;

if (!isMainThread) serve(workerData as SecondCpuData);

function serve(data: SecondCpuData): void {
  const words = new Int32Array(data.board);
  const stamps = new Float64Array(data.board);
  const cpu = claimCpu(Arena.attach(data.arena), { number: 1 });
  const passes = [zoneBatch(Uma.attach(cpu).open(itemZone)), bareBatch()];
  for (let turn = 0; turn < 20_000; turn++) {
    for (const pass of passes) pass();
  }
  parentPort!.postMessage('ready');
  for (;;) {
    const command = Atomics.load(words, Board.command);
    if (command === STOP) break;
    if (command === IDLE) Atomics.wait(words, Board.command, IDLE);
    else repeat(words, stamps, command, passes[command - 1]!);
  }
  releaseCpu(cpu);
}

/** A stamp and a count after each pass; both 0 again at the end. */
function repeat(
  words: Int32Array<SharedArrayBuffer>,
  stamps: Float64Array<SharedArrayBuffer>,
  command: number,
  pass: () => void,
): void {
  let done = 0;
  while (Atomics.load(words, Board.command) === command) {
    for (let turn = 0; turn < 8; turn++) pass();
    stamps[Board.stamp >> 1] = sharedNow();
    done++;
    Atomics.store(words, Board.done, done);
  }
  Atomics.store(words, Board.done, 0);
}
