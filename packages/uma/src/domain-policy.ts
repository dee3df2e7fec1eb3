/**
 * NUMA policies of zones (spec 1.9): which domain an allocation looks in, where frees go, and how a
 * keg goes round. A zone is FIRSTTOUCH (the default: memory of the CPU's own domain) or ROUNDROBIN.
 * Every domain here has memory, so the kernel's empty domains have no counterpart.
 *
 * All of it reads hints only: a stale answer costs a longer way, never an item.
 */

import { BUCKET_MAX } from './bucket-ladder.ts';
import { ZoneFlag } from './flags.ts';
import { KegRecord, ZoneDomain, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import { cpuDomain, zoneDomain } from './zone-domain.ts';

const FLAGS = ZoneRecord.fields.flags.at;
const NITEMS = ZoneDomain.fields.nitems.at;
const ROUND = KegRecord.fields.round.at;

/** `UMA_ANYDOMAIN`: the keg goes round the domains. */
export const ANY_DOMAIN = -1;

/** Whether the zone spreads its items over the domains. */
export function isRoundRobin(uma: Uma, zone: number): boolean {
  return uma.arena.domains > 1 && (uma.words[zone + FLAGS]! & ZoneFlag.ROUNDROBIN) !== 0;
}

/** The domain whose queue an allocation of this CPU looks at (2.3). */
export function fetchDomain(uma: Uma, zone: number): number {
  const own = cpuDomain(uma, uma.cpu.number);
  return isRoundRobin(uma, zone) ? fullestDomain(uma, zone, own) : own;
}

/** The domain from which a bucket or an item is imported: ANY_DOMAIN for ROUNDROBIN (2.4b). */
export function importDomain(uma: Uma, zone: number): number {
  const round = (uma.words[zone + FLAGS]! & ZoneFlag.ROUNDROBIN) !== 0;
  return round ? ANY_DOMAIN : cpuDomain(uma, uma.cpu.number);
}

/** The queue that a full bucket of this CPU goes to; ROUNDROBIN: the emptiest (2.7). */
export function storeDomain(uma: Uma, zone: number): number {
  return isRoundRobin(uma, zone) ? emptiestDomain(uma, zone, 0) : cpuDomain(uma, uma.cpu.number);
}

/** `zone_domain_highest`: `preferred` if its queue holds more than BUCKET_MAX items, else the fullest. */
export function fullestDomain(uma: Uma, zone: number, preferred: number): number {
  const kept = queued(uma, zone, preferred);
  if (kept > BUCKET_MAX) return preferred;
  let best = preferred;
  let most = kept;
  for (let domain = 0; domain < uma.arena.domains; domain++) {
    const items = queued(uma, zone, domain);
    if (items > most) {
      most = items;
      best = domain;
    }
  }
  return best;
}

/**
 * `zone_domain_lowest`: `preferred` unless its queue holds at least twice the least, and something.
 * The kernel compares with another domain's count at times (defect D2).
 */
export function emptiestDomain(uma: Uma, zone: number, preferred: number): number {
  const kept = queued(uma, zone, preferred);
  let best = preferred;
  let least = kept;
  for (let domain = 0; domain < uma.arena.domains; domain++) {
    const items = queued(uma, zone, domain);
    if (items < least) {
      least = items;
      best = domain;
    }
  }
  return kept < 2 * least ? preferred : best;
}

/** The keg's next domain (`uk_dr`). Two CPUs may get the same one: it is a policy, not a count. */
export function nextDomain(uma: Uma, keg: number): number {
  const { words, arena } = uma;
  const next = (words[keg + ROUND]! + 1) % arena.domains;
  Atomics.store(words, keg + ROUND, next);
  return next;
}

function queued(uma: Uma, zone: number, domain: number): number {
  return Atomics.load(uma.words, zoneDomain(uma, zone, domain) + NITEMS);
}
