/**
 * Data races by ECMAScript's rules (ECMA-262, section 29): two accesses of overlapping ranges, at
 * least one a write, unordered by happens-before, and not both SeqCst with equal range.
 *
 * A location (shadow.ts) keeps, per CPU, the clock of its last access in each of four classes; while
 * only one CPU has touched it (`owner`) nothing is compared, which is what FastTrack's epochs are
 * for. A SeqCst write replaces the location's release clock, a plain write clears it, and a SeqCst
 * read joins it when it reads the very range that was written. wait and notify enter and leave a
 * waiter list, whose clock orders leave before next enter.
 *
 * Up to the first race the verdict is exact; the run ends there.
 */
import { type Lane, type Location, Shadow, SHARED, UNTOUCHED } from './shadow.ts';
import { VectorClocks } from './vector-clocks.ts';
import { WORD_HINT, WORD_STATISTIC } from './words.ts';

// Classes of accesses.
export const PLAIN_READ = 0;
export const PLAIN_WRITE = 1;
export const ATOMIC_READ = 2;
export const ATOMIC_WRITE = 3;
/** Read-modify-write: reads, then writes. */
export const ATOMIC_UPDATE = 4;

/** Two accesses that race; `earlier` came first in this schedule. */
export interface Race {
  readonly address: number;
  readonly size: number;
  readonly earlier: { readonly cpu: number; readonly site: number; readonly mode: number };
  readonly later: { readonly cpu: number; readonly site: number; readonly mode: number };
  /** Both are SeqCst, but of different ranges. */
  readonly mixed: boolean;
}

/** The detector of one machine; reset before every run. */
export class RaceDetector {
  /** The first race of the run. */
  race: Race | null = null;
  readonly clocks: VectorClocks;
  readonly #n: number;
  readonly #times: Int32Array;
  readonly #shadow: Shadow;
  /** Kind of the declared word at an address. */
  readonly #kinds: { at(address: number): number };
  #releases: number = 0;

  constructor(cpus: number, kinds: { at(address: number): number }) {
    this.#n = cpus;
    this.clocks = new VectorClocks(cpus);
    this.#times = this.clocks.times;
    this.#shadow = new Shadow(cpus);
    this.#kinds = kinds;
  }

  reset(): void {
    this.race = null;
    this.#releases = 0;
    this.clocks.reset();
    this.#shadow.reset();
  }

  /** Records an access; a race is left in `race` (the first one wins). */
  access(cpu: number, address: number, size: number, mode: number, site: number): void {
    const end = address + size;
    const location = this.#shadow.at(address);
    // First of all: what it reads from happens before it, and all that happened before that.
    if (location !== null && (mode === ATOMIC_READ || mode === ATOMIC_UPDATE)) {
      this.#synchronize(location, cpu, address, end);
    }
    if (location === null || location.start !== address || location.end !== end) {
      this.#range(cpu, address, end, mode, site);
    } else if (mode <= PLAIN_WRITE && location.owner === cpu) {
      // By far the most frequent: nobody else has been here, so there is nothing to compare.
      const at = mode * this.#n + cpu;
      location.clocks[at] = this.#times[cpu * this.#n + cpu] as number;
      location.sites[at] = site;
      if (mode === PLAIN_WRITE) location.releaseEnd = 0;
    } else {
      this.#touch(location, cpu, address, end, mode, site);
    }
    if (mode >= ATOMIC_WRITE) this.clocks.tick(cpu);
  }

  /** With the SeqCst write of the very range, when all bytes come from that one. */
  #synchronize(location: Location, cpu: number, start: number, end: number): void {
    if (location.releaseEnd !== end || location.releaseStart !== start) return;
    if (location.end !== end && !this.#whole(start, end, location.releaseId)) return;
    this.clocks.join(cpu, location.release);
  }

  /** An access that is not of just one location. */
  #range(cpu: number, address: number, end: number, mode: number, site: number): void {
    const shadow = this.#shadow;
    shadow.split(address, end);
    for (let a = address; a < end; ) {
      let location = shadow.at(a);
      if (location === null) {
        location = shadow.allocate(a, shadow.gapEnd(a, end));
        location.clear(this.#kinds.at(a));
      }
      this.#touch(location, cpu, address, end, mode, site);
      a = location.end;
    }
  }

  #touch(
    location: Location,
    cpu: number,
    start: number,
    end: number,
    mode: number,
    site: number,
  ): void {
    const { word } = location;
    if (word === WORD_STATISTIC && mode === ATOMIC_READ) {
      if (location.start === start && location.end === end) return;
    }
    const n = this.#n;
    const { clocks, sites } = location;
    const now = this.#times[cpu * n + cpu] as number;
    if (mode >= ATOMIC_READ) {
      if (location.atomicEnd === 0) {
        location.atomicStart = start;
        location.atomicEnd = end;
      } else if (location.atomicStart !== start || location.atomicEnd !== end) {
        location.turnTo(start, end);
      }
    }
    if (location.owner !== cpu) {
      if (location.owner === UNTOUCHED) location.owner = cpu;
      else {
        location.owner = SHARED;
        if (location.lanes !== null) this.#checkLanes(location, cpu, mode, site);
        // Everybody races with an unordered plain write.
        this.#check(location, cpu, 1, mode, site);
        // A hint is read plainly while others write it with Atomics: by declaration.
        const hint = word === WORD_HINT;
        if (mode === PLAIN_READ) {
          if (!hint) this.#check(location, cpu, 3, mode, site);
        } else if (mode === PLAIN_WRITE) {
          this.#check(location, cpu, 0, mode, site);
          this.#check(location, cpu, 2, mode, site);
          this.#check(location, cpu, 3, mode, site);
        } else if (mode >= ATOMIC_WRITE && !hint) {
          this.#check(location, cpu, 0, mode, site);
        }
      }
    }
    if (mode === ATOMIC_READ || mode === ATOMIC_UPDATE) {
      clocks[2 * n + cpu] = now;
      sites[2 * n + cpu] = site;
    } else if (mode <= PLAIN_WRITE) {
      clocks[mode * n + cpu] = now;
      sites[mode * n + cpu] = site;
      if (mode === PLAIN_WRITE) location.releaseEnd = 0;
    }
    if (mode >= ATOMIC_WRITE) {
      clocks[3 * n + cpu] = now;
      sites[3 * n + cpu] = site;
      location.releaseStart = start;
      location.releaseEnd = end;
      if (location.start === start) this.#releases++;
      location.releaseId = this.#releases;
      this.clocks.copy(cpu, location.release);
    }
  }

  #whole(start: number, end: number, id: number): boolean {
    for (let a = start; a < end; ) {
      const location = this.#shadow.at(a);
      if (location === null || location.releaseId !== id || location.releaseEnd !== end) {
        return false;
      }
      a = location.end;
    }
    return true;
  }

  /** SeqCst accesses of another range count as plain ones. */
  #checkLanes(location: Location, cpu: number, mode: number, site: number): void {
    const mixed = mode >= ATOMIC_READ;
    if (!mixed && location.word === WORD_HINT && mode === PLAIN_READ) return;
    for (const { clocks, sites } of location.lanes as Lane[]) {
      this.#compare(location, clocks, sites, 1, ATOMIC_WRITE, cpu, mode, site, mixed);
      if (mode === PLAIN_WRITE || mode >= ATOMIC_WRITE) {
        this.#compare(location, clocks, sites, 0, ATOMIC_READ, cpu, mode, site, mixed);
      }
    }
  }

  #check(location: Location, cpu: number, kind: number, mode: number, site: number): void {
    this.#compare(location, location.clocks, location.sites, kind, kind, cpu, mode, site, false);
  }

  /** Is an access of class `kind`, in row `row` of `clocks`, unordered with this one? */
  #compare(
    location: Location,
    clocks: Int32Array,
    sites: Int32Array,
    row: number,
    kind: number,
    cpu: number,
    mode: number,
    site: number,
    mixed: boolean,
  ): void {
    const n = this.#n;
    for (let c = 0; c < n; c++) {
      const at = clocks[row * n + c] as number;
      if (at > (this.#times[cpu * n + c] as number) && this.race === null) {
        this.race = {
          address: location.start,
          size: location.end - location.start,
          earlier: { cpu: c, site: sites[row * n + c] as number, mode: kind },
          later: { cpu, site, mode },
          mixed,
        };
      }
    }
  }
}
