/**
 * The record of a single-producer single-consumer ring (ring.ts). Three line pairs: what is written
 * once, what the producer writes, what the consumer writes; then the slots, capacity words.
 */

import { LINE_WORDS } from '../address.ts';
import { checkLayout } from '../layout/layout.ts';

export const RingRecord = {
  name: 'ring',
  words: 96,
  fields: {
    capacity: { at: 0, type: 'i32', kind: 'owned', what: 'slots, a power of two; never changes' },
    tail: {
      at: 32,
      type: 'i32',
      kind: 'atomic',
      what: 'values ever pushed (modulo 2^31) << 1 | bit 0: the consumer may be asleep',
    },
    producerTail: { at: 33, type: 'i32', kind: 'private', what: "producer's own copy of tail" },
    producerSeenHead: {
      at: 34,
      type: 'i32',
      kind: 'private',
      what: 'head as the producer last loaded it',
    },
    head: {
      at: 64,
      type: 'i32',
      kind: 'atomic',
      what: 'values ever popped (modulo 2^31) << 1 | bit 0: the producer may be asleep',
    },
    consumerHead: { at: 65, type: 'i32', kind: 'private', what: "consumer's own copy of head" },
    consumerSeenTail: {
      at: 66,
      type: 'i32',
      kind: 'private',
      what: 'tail as the consumer last loaded it',
    },
  },
} as const;
checkLayout(RingRecord);

/** Most slots of a ring: positions advance by two, so all of a full ring must fit an int32. */
export const RING_CAPACITY_MAX: number = 2 ** 28;

/**
 * Words that a ring of `capacity` slots occupies, its record included: whole line pairs, so that
 * what follows it in memory shares no line with it.
 */
export function ringWords(capacity: number): number {
  return RingRecord.words + Math.ceil(capacity / LINE_WORDS) * LINE_WORDS;
}
