/**
 * Failure injection: every call site of a step that can fail has a number, and asks here first. A test
 * gives its thread an injector, which says of each hit whether the step fails; at the sites of callbacks
 * it may throw instead, as the callback could. Without one a site costs a load, on slow paths only (and
 * once beside a ctor).
 *
 * Whoever adds a fallible step adds its site: the test of the sites prints those that no program hits.
 */

import type { Uma } from './uma.ts';

/** Sites by name. */
export const FailureSite = {
  /** Slabs: an offpage header, an item table, pages; keg init of an item. */
  slabHeader: 0,
  slabTable: 1,
  slabPages: 2,
  init: 3,
  /** Filling a bucket: units of the zone's limit, the bucket itself, items of the keg, zinit. */
  fillUnits: 4,
  fillBucket: 5,
  fillItems: 6,
  fillZinit: 7,
  /** An empty bucket to free into. */
  flushBucket: 8,
  /** An item past the cache: its unit, the keg, zinit. */
  itemUnit: 9,
  item: 10,
  itemZinit: 11,
  /** The ctor of a zone that has only that, and of one with other features. */
  ctorAlone: 12,
  ctor: 13,
  /** Records: of a zone, of a limit. */
  zoneRecord: 14,
  limitRecord: 15,
  /** An empty bucket to free into in an SMR zone; the record of an SMR. */
  smrBucket: 16,
  smrRecord: 17,
} as const;

export type FailureSiteName = keyof typeof FailureSite;

/** Whether the step at `site` fails now. */
export type Injector = (site: number) => boolean;

/** Makes steps of this thread fail; undefined ends it. For tests. */
export function injectFailures(uma: Uma, injector: Injector | undefined): void {
  uma.injector = injector;
}

/** Asked before each fallible step. */
export function injected(uma: Uma, site: number): boolean {
  return uma.injector !== undefined && uma.injector(site);
}
