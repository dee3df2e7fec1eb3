/**
 * What the CPUs of a pipeline share besides packets: rings, one word per protocol CPU that says
 * how far it is, and two words that everyone looks at while waiting. Made by the main thread in a
 * static record before the CPUs start, and made new for each capture.
 *
 *   driver -> protocol p    frames, fences, the end       ring p
 *   driver -> tap           shared copies, the end        ring P
 *   protocol p -> q         completed datagrams of q      ring P + 1 + p * P + q
 *
 * Every message is MESSAGE_WORDS words, pushed and popped whole: capacities are multiples of it, so
 * the free and the filled part of a ring always are.
 */

import {
  type Cpu,
  enterCpu,
  initRing,
  lockRegistry,
  ringWords,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from '@umbuf/memory';
import { PipelineError } from './errors.ts';

/** Words of a message. */
export const MESSAGE_WORDS = 4;
/** Word 0 is a chain (NULL in fences and the end), word 1 a frame number; see Kind. */
export const CHAIN = 0;
export const FRAME = 1;
/** Link type of a frame, protocol CPU of a fence, checksum of a tapped copy, see datagram.ts. */
export const DETAIL = 2;
export const KIND = 3;

/** Word 3 of what the driver sends. */
export const Kind = { frame: 0, fence: 1, end: 2 } as const;

/** Messages that a ring holds. */
const DRIVER_RING_MESSAGES = 256;
const PEER_RING_MESSAGES = 64;

const ABORT = 0;
const SHORTAGE = 32;
const HANDLED = 64;
const LINE = 32;

/** Plain numbers, so that it goes to the workers as it is. */
export interface PipelineControl {
  /** Word index of the block. */
  readonly at: number;
  /** Number of protocol CPUs. */
  readonly protocols: number;
  /** Word index of ring 0, and words from one to the next of each sort. */
  readonly rings: number;
  readonly driverStride: number;
  readonly peerStride: number;
}

type Words = Int32Array<SharedArrayBuffer>;

/** Makes the block; throws PipelineError when the arena has no room for it. */
export function createPipelineControl(cpu: Cpu, protocols: number): PipelineControl {
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  const driverStride = ringWords(DRIVER_RING_MESSAGES * MESSAGE_WORDS);
  const peerStride = ringWords(PEER_RING_MESSAGES * MESSAGE_WORDS);
  const rings = HANDLED + protocols * LINE;
  const words = rings + (protocols + 1) * driverStride + protocols * protocols * peerStride;
  lockRegistry(cpu);
  const address = staticSpace(cpu, words * 4);
  if (address !== 0) cpu.words[STATIC_NEXT] = address + words * 4;
  unlockRegistry(cpu);
  if (address === 0) {
    throw new PipelineError(`no room in the arena for the rings of ${protocols} protocol CPUs`);
  }
  const at = address >> 2;
  return { at, protocols, rings: at + rings, driverStride, peerStride };
}

/** Makes the block new for the next capture. No CPU may be using it. */
export function resetPipelineControl(words: Words, control: PipelineControl): void {
  const { protocols } = control;
  Atomics.store(words, control.at + ABORT, 0);
  Atomics.store(words, control.at + SHORTAGE, 0);
  for (let protocol = 0; protocol < protocols; protocol++) {
    Atomics.store(words, handledWord(control, protocol), 0);
    initRing(words, protocolRing(control, protocol), DRIVER_RING_MESSAGES * MESSAGE_WORDS);
    for (let peer = 0; peer < protocols; peer++) {
      initRing(words, peerRing(control, protocol, peer), PEER_RING_MESSAGES * MESSAGE_WORDS);
    }
  }
  initRing(words, tapRing(control), DRIVER_RING_MESSAGES * MESSAGE_WORDS);
}

/** Word index of the ring from the driver to a protocol CPU. */
export function protocolRing(control: PipelineControl, protocol: number): number {
  return control.rings + protocol * control.driverStride;
}

/** Word index of the ring from the driver to the tap. */
export function tapRing(control: PipelineControl): number {
  return control.rings + control.protocols * control.driverStride;
}

/** Word index of the ring from protocol CPU `from` to protocol CPU `to`. */
export function peerRing(control: PipelineControl, from: number, to: number): number {
  const { rings, protocols, driverStride, peerStride } = control;
  return rings + (protocols + 1) * driverStride + (from * protocols + to) * peerStride;
}

/** Word that holds the frame number of the last fragment that a protocol CPU has handled. */
export function handledWord(control: PipelineControl, protocol: number): number {
  return control.at + HANDLED + protocol * LINE;
}

/** Word that is 1 once a CPU has failed: all others stop. */
export function abortWord(control: PipelineControl): number {
  return control.at + ABORT;
}

/** Word that counts the CPUs that wait for memory: the tap holds nothing back meanwhile. */
export function shortageWord(control: PipelineControl): number {
  return control.at + SHORTAGE;
}
