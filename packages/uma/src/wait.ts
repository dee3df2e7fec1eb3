/**
 * What a request does that found no pages for a slab: with M_NOWAIT it has the arena reclaimed and
 * tries once more; with M_WAITOK it waits for pages, in order of arrival; the rest of what it may wait
 * for, units of a limit, is limit/sleep.ts.
 *
 * A request waits for the run that was missing, which may be that of a slab of headers or tables. The
 * run that it is given becomes a slab of that keg at once; then it tries again from the start. While it
 * waits it looks, at growing intervals, what the low-memory event brings back: an item of its own
 * keg will do as well as pages.
 */

import {
  freePageCount,
  PagePool,
  PageSleepFailure,
  reserveSlot,
  sleepForPages,
  sleepForPagesAsync,
} from '@umbuf/memory';
import { ANY_DOMAIN } from './domain-policy.ts';
import { InternalFlag, M_USE_RESERVE, M_WAITOK } from './flags.ts';
import { fail, giveBack, handHeight } from './hands.ts';
import { kegDomain } from './keg.ts';
import { KegDomain, KegRecord, ZoneRecord } from './layout.ts';
import { lowMemory } from './low-memory.ts';
import { buildSlabFrom } from './slab.ts';
import { FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { cpuDomain } from './zone-domain.ts';

const K = KegRecord.fields;

/** How long a request that waits lets each running CPU take to give up its caches, milliseconds. */
const ANSWER_WAITING_MS = 5;

/**
 * Called after an attempt of `zone` found no pages (`uma.shortKeg`): true when another is worth while.
 * `domain` is where it looked, or ANY_DOMAIN; `tries` is how many there were before. What the caller has
 * in hand slots stays there; the CPU may have been left meanwhile. `uma.waitUntil` bounds the wait of
 * M_WAITOK.
 *
 * Bucket zones ask for no reclaim: their users do without. Inside a low-memory event nobody waits.
 * Throws `WouldBlockError` on a CPU that may not block, and what an init threw.
 */
export function getPages(
  uma: Uma,
  zone: number,
  flags: number,
  domain: number,
  tries: number,
): boolean {
  if (uma.shortKeg === 0 || uma.reclaiming) return false;
  if ((uma.words[zone + ZoneRecord.fields.flags.at]! & InternalFlag.BUCKET) !== 0) return false;
  // A thread that may not block tries the one before it says that it would have to do the other.
  const waits = (flags & M_WAITOK) !== 0;
  if (tries === 0 && !(waits && uma.cpu.mayBlock) && lowMemory(uma, 0)) return true;
  if (!waits) return false;
  return waitForPages(uma, zone, flags, domain);
}

/** False when the time was up, or an init refused the items of the slab. */
function waitForPages(uma: Uma, zone: number, flags: number, domain: number): boolean {
  const { cpu, words } = uma;
  const short = uma.shortKeg;
  const at = poolDomain(uma, domain);
  const slot = reserveSlot(cpu);
  const pages = words[short + K.ppera.at]!;
  const timeoutMs = uma.waitUntil === Infinity ? Infinity : uma.waitUntil - performance.now();
  const look = looker(uma, zone, flags, domain, ANSWER_WAITING_MS);
  const found = sleepForPages(cpu, pages, at, slot, timeoutMs, look);
  if (found < 1) {
    giveBack(cpu, slot);
    if (found === PageSleepFailure.timeout) uma.why = FailureReason.timeout;
    return found === PageSleepFailure.found;
  }
  return buildSlabFrom(uma, short, at, flags, slot) || uma.shortKeg !== 0;
}

/** The pool that a request for `domain` waits at: its CPU's own for ANY_DOMAIN. */
function poolDomain(uma: Uma, domain: number): number {
  return domain === ANY_DOMAIN ? cpuDomain(uma, uma.cpu.number) : domain;
}

/**
 * One look of a request that waits: whether another attempt may find an item, or (at another pool than
 * the one that it waits at) pages that were not there at the last look.
 */
function looker(
  uma: Uma,
  zone: number,
  flags: number,
  domain: number,
  answerMs: number,
): () => boolean {
  const { words, arena } = uma;
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  const reserve = (flags & M_USE_RESERVE) !== 0 ? 0 : words[keg + K.reserve.at]!;
  const own = poolDomain(uma, domain);
  let known = elsewhere(uma, own);
  return () => {
    lowMemory(uma, answerMs);
    for (let each = 0; each < arena.domains; each++) {
      if (domain !== ANY_DOMAIN && each !== domain) continue;
      const free = Atomics.load(words, kegDomain(keg, each) + KegDomain.fields.freeItems.at);
      if (free > reserve) return true;
    }
    const pages = domain === ANY_DOMAIN ? elsewhere(uma, own) : known;
    const more = pages > known;
    known = pages;
    return more;
  };
}

/** Free pages of the other domains. */
function elsewhere(uma: Uma, own: number): number {
  const { arena, words } = uma;
  return (
    freePageCount(arena) -
    Atomics.load(words, arena.poolTable + own * PagePool.words + PagePool.fields.freePages.at)
  );
}

export interface PageWaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * `getPages` for a thread that serves other requests meanwhile, or may not block: resolves with
 * `again` when another attempt of `zone` is worth while, with `timeout`, or with `failed` when it was not
 * pages that the attempt lacked. Call it in the job of the attempt. Rejects with the signal's reason and
 * with what an init threw.
 */
export async function getPagesAsync(
  uma: Uma,
  zone: number,
  flags: number,
  options: PageWaitOptions = {},
): Promise<'again' | 'timeout' | 'failed'> {
  const short = uma.shortKeg;
  if (short === 0 || uma.reclaiming) return 'failed';
  const { outcome, value } = await startWait(uma, zone, flags, short, options);
  if (outcome === 'timeout') return outcome;
  return outcome === 'found' || value === true ? 'again' : 'failed';
}

function startWait(
  uma: Uma,
  zone: number,
  flags: number,
  short: number,
  options: PageWaitOptions,
): ReturnType<typeof sleepForPagesAsync<boolean>> {
  const { cpu, words } = uma;
  const domain = cpuDomain(uma, cpu.number);
  return sleepForPagesAsync(
    cpu,
    words[short + K.ppera.at]!,
    domain,
    (slot) => buildGranted(uma, short, domain, flags, slot),
    { ...options, look: looker(uma, zone, flags, ANY_DOMAIN, 0) },
  );
}

/** The run in `slot` becomes a slab; a throwing init leaves nothing of it in our hands. */
function buildGranted(uma: Uma, keg: number, domain: number, flags: number, slot: number): boolean {
  // The slot itself is the caller's: above it nothing is ours.
  const height = handHeight(uma.cpu) - 1;
  try {
    return buildSlabFrom(uma, keg, domain, flags, slot) || uma.shortKeg !== 0;
  } catch (error) {
    fail(uma, height, error);
  }
}
