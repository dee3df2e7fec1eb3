/** The records of tracing in the arena: its root, owners, and an owner's counters on one CPU. */

import { checkLayout } from '@umbuf/memory';

/** Owners that one arena can hold, detached ones with live claims included. */
export const OWNERS_MAX = 256;
/** Bytes of UTF-8 in the name or the description of an owner. */
export const OWNER_NAME_BYTES = 15;

/** One per arena, found through memory's `Root.tracing`. */
export const TracingRoot = {
  name: 'tracing root',
  words: 320,
  fields: {
    ownerCount: { at: 0, type: 'i32', kind: 'atomic', what: 'owner records made; they stay' },
    sequence: { at: 1, type: 'i32', kind: 'locked', what: 'attaches so far (registry lock)' },
    sampleBytes: {
      at: 24,
      type: 'i32',
      kind: 'atomic',
      what: 'call sites: mean bytes between two sampled allocations, 0 = off',
    },
    samples: {
      at: 25,
      type: 'i32',
      kind: 'atomic',
      what: 'address of the table of sampled items, 0 = none yet',
    },
    sites: { at: 26, type: 'i32', kind: 'atomic', what: 'site record made last, 0 = none' },
    siteCount: { at: 27, type: 'i32', kind: 'locked', what: 'site records (registry lock)' },
    rings: { at: 2, type: 'i32', kind: 'atomic', what: 'address of the event rings, 0 = none' },
    revoked: {
      at: 28,
      type: 'i32',
      kind: 'atomic',
      what: 'address of the owner of freed items, 0 = none yet',
    },
    owners: {
      at: 32,
      type: 'i32',
      kind: 'owned',
      count: 256,
      what: 'owner records by number, published by ownerCount',
    },
  },
} as const;

/** `struct mowner`. A block of `OwnerCounters` per CPU follows. */
export const OwnerRecord = {
  name: 'owner',
  words: 32,
  fields: {
    sequence: {
      at: 0,
      type: 'i32',
      kind: 'atomic',
      what: 'when it was attached, from 1; 0 = detached',
    },
    name: { at: 8, type: 'i32', kind: 'atomic', count: 4, what: 'mo_name, UTF-8, 15 bytes' },
    description: { at: 12, type: 'i32', kind: 'atomic', count: 4, what: 'mo_descr, 15 bytes' },
  },
} as const;

/**
 * Counters that only grow; a claim and its release may stand on different CPUs. The first six are a
 * mowner's, of mbufs; items of zones are counted apart, so that each law has one kind of holder.
 */
export const OwnerCounters = {
  name: 'owner counters',
  words: 32,
  fields: {
    claims: { at: 0, type: 'i64', kind: 'statistic', what: 'MOWNER_COUNTER_CLAIMS' },
    releases: { at: 2, type: 'i64', kind: 'statistic', what: 'items given back or claimed away' },
    clusterClaims: { at: 4, type: 'i64', kind: 'statistic', what: 'those with a cluster' },
    clusterReleases: { at: 6, type: 'i64', kind: 'statistic', what: 'those with a cluster' },
    extClaims: { at: 8, type: 'i64', kind: 'statistic', what: 'those with external storage' },
    extReleases: { at: 10, type: 'i64', kind: 'statistic', what: 'those with external storage' },
    itemClaims: { at: 12, type: 'i64', kind: 'statistic', what: 'items of zones claimed' },
    itemReleases: {
      at: 14,
      type: 'i64',
      kind: 'statistic',
      what: 'items given back or claimed away',
    },
  },
} as const;

for (const layout of [TracingRoot, OwnerRecord, OwnerCounters]) checkLayout(layout);
