/**
 * Data races by ECMAScript's rules (ECMA-262, section 29): two accesses of overlapping ranges, at
 * least one a write, unordered by happens-before, and not both SeqCst with equal range.
 *
 * Shadow memory is a map from byte to *location*: a range that has been accessed as one so far,
 * split when another access covers a part of it. A location keeps, per CPU, the clock of its last
 * access in each of four classes; while only one CPU has touched it (`owner`) nothing is compared,
 * which is what FastTrack's epochs are for. A SeqCst write replaces the location's release clock, a
 * plain write clears it, and a SeqCst read joins it when it reads the very range that was written.
 * wait and notify enter and leave a waiter list, whose clock orders leave before next enter.
 *
 * Invariant: clocks[c * n + c] is CPU c's own time; it advances after every release. Up to the
 * first race the verdict is exact; the run ends there.
 */

export const PLAIN_READ = 0;
export const PLAIN_WRITE = 1;
export const ATOMIC_READ = 2;
export const ATOMIC_WRITE = 3;
/** Read-modify-write: reads, then writes. */
export const ATOMIC_UPDATE = 4;

/** How declared words are treated. */
export const WORD_ORDINARY = 0;
/** Written with Atomics, read plainly. */
export const WORD_HINT = 1;
/** Its owner writes plainly, others read with Atomics of the same width. */
export const WORD_STATISTIC = 2;

/** Two accesses that race; `earlier` came first in this schedule. */
export interface Race {
  readonly address: number;
  readonly size: number;
  readonly earlier: { readonly cpu: number; readonly site: number; readonly mode: number };
  readonly later: { readonly cpu: number; readonly site: number; readonly mode: number };
  /** Both are SeqCst, but of different ranges. */
  readonly mixed: boolean;
}

const PAGE_BITS = 12;
const PAGE_BYTES = 1 << PAGE_BITS;
const NONE = -1;

class Location {
  start: number = 0;
  end: number = 0;
  /** The only CPU that has touched it; NONE: several. */
  owner: number = NONE;
  word: number = WORD_ORDINARY;
  /** Range of the SeqCst accesses recorded here. */
  atomicStart: number = 0;
  atomicEnd: number = 0;
  /** Range of the write whose release clock is kept; end 0: none. */
  releaseStart: number = 0;
  releaseEnd: number = 0;
  /** Serial number of that write, to see that all bytes read come from one. */
  releaseId: number = 0;
  readonly release: Int32Array;
  /** [class * n + cpu], 0: never. */
  readonly clocks: Int32Array;
  readonly sites: Int32Array;

  constructor(n: number) {
    this.release = new Int32Array(n);
    this.clocks = new Int32Array(4 * n);
    this.sites = new Int32Array(4 * n);
  }

  copyFrom(other: Location): void {
    this.owner = other.owner;
    this.word = other.word;
    this.atomicStart = other.atomicStart;
    this.atomicEnd = other.atomicEnd;
    this.releaseStart = other.releaseStart;
    this.releaseEnd = other.releaseEnd;
    this.releaseId = other.releaseId;
    this.release.set(other.release);
    this.clocks.set(other.clocks);
    this.sites.set(other.sites);
  }
}

/** The detector of one machine; reset before every run. */
export class RaceDetector {
  /** The first race of the run. */
  race: Race | null = null;
  readonly #n: number;
  readonly #clocks: Int32Array;
  readonly #pages: (Int32Array | undefined)[] = [];
  readonly #locations: Location[] = [];
  #used: number = 0;
  #releases: number = 0;
  readonly #lists = new Map<number, Int32Array>();
  /** Kind of the declared word at an address; null when none is declared. */
  wordAt: ((address: number) => number) | null = null;

  constructor(cpus: number) {
    this.#n = cpus;
    this.#clocks = new Int32Array(cpus * cpus);
  }

  reset(): void {
    const n = this.#n;
    this.race = null;
    this.#clocks.fill(0);
    for (let c = 0; c < n; c++) this.#clocks[c * n + c] = 1;
    for (let i = 0; i < this.#used; i++) {
      const l = this.#locations[i] as Location;
      for (let a = l.start; a < l.end; ) {
        const page = this.#pages[a >>> PAGE_BITS] as Int32Array;
        const from = a & (PAGE_BYTES - 1);
        const to = Math.min(PAGE_BYTES, from + l.end - a);
        if (to - from === 4) {
          page[from] = 0;
          page[from + 1] = 0;
          page[from + 2] = 0;
          page[from + 3] = 0;
        } else page.fill(0, from, to);
        a += to - from;
      }
    }
    this.#used = 0;
    this.#releases = 0;
    if (this.#lists.size > 0) this.#lists.clear();
  }

  /** `child` starts after everything `parent` has done so far (a recoverer after a death). */
  fork(parent: number, child: number): void {
    const n = this.#n;
    this.#join(child * n, this.#clocks, parent * n);
    this.#clocks[parent * n + parent] = (this.#clocks[parent * n + parent] as number) + 1;
  }

  /** Records an access; a race is left in `race` (the first one wins). */
  access(cpu: number, address: number, size: number, mode: number, site: number): void {
    const end = address + size;
    let location = this.#at(address);
    if (location === null || location.start !== address || location.end !== end) {
      this.#split(address, end);
      for (let a = address; a < end; ) {
        location = this.#at(a);
        if (location === null) {
          // A gap: new up to the next location.
          let to = a + 1;
          while (to < end && this.#at(to) === null) to++;
          location = this.#create(a, to);
        }
        this.#touch(location, cpu, address, end, mode, site);
        a = location.end;
      }
    } else {
      this.#touch(location, cpu, address, end, mode, site);
    }
    if (mode >= ATOMIC_WRITE) this.#tick(cpu);
  }

  /** Enters the critical section of the waiter list at an address. */
  enterList(cpu: number, address: number): void {
    const list = this.#lists.get(address);
    if (list !== undefined) this.#join(cpu * this.#n, list, 0);
  }

  /** Leaves it: the next to enter happens after us. */
  leaveList(cpu: number, address: number): void {
    const n = this.#n;
    let list = this.#lists.get(address);
    if (list === undefined) {
      list = new Int32Array(n);
      this.#lists.set(address, list);
    }
    for (let c = 0; c < n; c++) list[c] = this.#clocks[cpu * n + c] as number;
    this.#tick(cpu);
  }

  #tick(cpu: number): void {
    const at = cpu * this.#n + cpu;
    this.#clocks[at] = (this.#clocks[at] as number) + 1;
  }

  #join(into: number, from: Int32Array, offset: number): void {
    const clocks = this.#clocks;
    for (let c = 0; c < this.#n; c++) {
      const v = from[offset + c] as number;
      if (v > (clocks[into + c] as number)) clocks[into + c] = v;
    }
  }

  #at(address: number): Location | null {
    const page = this.#pages[address >>> PAGE_BITS];
    if (page === undefined) return null;
    const id = page[address & (PAGE_BYTES - 1)] as number;
    return id === 0 ? null : (this.#locations[id - 1] as Location);
  }

  #map(start: number, end: number, id: number): void {
    for (let a = start; a < end; ) {
      const index = a >>> PAGE_BITS;
      let page = this.#pages[index];
      if (page === undefined) {
        page = new Int32Array(PAGE_BYTES);
        this.#pages[index] = page;
      }
      const from = a & (PAGE_BYTES - 1);
      const to = Math.min(PAGE_BYTES, from + end - a);
      if (to - from === 4) {
        page[from] = id;
        page[from + 1] = id;
        page[from + 2] = id;
        page[from + 3] = id;
      } else page.fill(id, from, to);
      a += to - from;
    }
  }

  #allocate(start: number, end: number): Location {
    let location = this.#locations[this.#used];
    if (location === undefined) {
      location = new Location(this.#n);
      this.#locations.push(location);
    }
    this.#used++;
    location.start = start;
    location.end = end;
    this.#map(start, end, this.#used);
    return location;
  }

  #create(start: number, end: number): Location {
    const location = this.#allocate(start, end);
    location.owner = -2;
    location.atomicEnd = 0;
    location.releaseEnd = 0;
    location.clocks.fill(0);
    location.word = this.wordAt === null ? WORD_ORDINARY : this.wordAt(start);
    return location;
  }

  /** Cuts the locations that stick out of [address, end) at its edges. */
  #split(address: number, end: number): void {
    const first = this.#at(address);
    if (first !== null && first.start < address) this.#cut(first, address);
    const last = this.#at(end - 1);
    if (last !== null && last.end > end) this.#cut(last, end);
  }

  #cut(location: Location, at: number): void {
    const { end } = location;
    location.end = at;
    this.#allocate(at, end).copyFrom(location);
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
    if (word !== WORD_ORDINARY) {
      if (word === WORD_STATISTIC && mode === ATOMIC_READ) {
        if (location.start === start && location.end === end) return;
      }
    }
    const n = this.#n;
    const { clocks, sites } = location;
    const mine = cpu * n;
    const now = this.#clocks[mine + cpu] as number;
    if (mode >= ATOMIC_READ) {
      if (location.atomicEnd === 0) {
        location.atomicStart = start;
        location.atomicEnd = end;
      } else if (location.atomicStart !== start || location.atomicEnd !== end) {
        // Another width: earlier SeqCst accesses count as plain ones from now on.
        if (location.owner !== cpu) {
          this.#check(location, cpu, 3, mode, site, true);
          if (mode >= ATOMIC_WRITE) this.#check(location, cpu, 2, mode, site, true);
        }
        this.#demote(location);
        location.atomicStart = start;
        location.atomicEnd = end;
      }
    }
    if (location.owner !== cpu) {
      if (location.owner === -2) location.owner = cpu;
      else {
        location.owner = NONE;
        // Everybody races with an unordered plain write.
        this.#check(location, cpu, 1, mode, site, false);
        // A hint is read plainly while others write it with Atomics: by declaration.
        const hint = word === WORD_HINT;
        if (mode === PLAIN_READ) {
          if (!hint) this.#check(location, cpu, 3, mode, site, false);
        } else if (mode === PLAIN_WRITE) {
          this.#check(location, cpu, 0, mode, site, false);
          this.#check(location, cpu, 2, mode, site, false);
          this.#check(location, cpu, 3, mode, site, false);
        } else if (mode >= ATOMIC_WRITE && !hint) {
          this.#check(location, cpu, 0, mode, site, false);
        }
      }
    }
    if (mode === ATOMIC_READ || mode === ATOMIC_UPDATE) {
      // Synchronizes with the write it reads, when all its bytes come from that one.
      if (
        location.releaseEnd === end &&
        location.releaseStart === start &&
        (location.end === end || this.#whole(start, end, location.releaseId))
      ) {
        this.#join(mine, location.release, 0);
      }
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
      const { release } = location;
      for (let c = 0; c < n; c++) release[c] = this.#clocks[mine + c] as number;
    }
  }

  #whole(start: number, end: number, id: number): boolean {
    for (let a = start; a < end; ) {
      const location = this.#at(a);
      if (location === null || location.releaseId !== id || location.releaseEnd !== end) {
        return false;
      }
      a = location.end;
    }
    return true;
  }

  #demote(location: Location): void {
    const n = this.#n;
    const { clocks, sites } = location;
    for (let c = 0; c < n; c++) {
      for (let k = 0; k < 2; k++) {
        const atomic = (k + 2) * n + c;
        const plain = k * n + c;
        if ((clocks[atomic] as number) > (clocks[plain] as number)) {
          clocks[plain] = clocks[atomic] as number;
          sites[plain] = sites[atomic] as number;
        }
        clocks[atomic] = 0;
      }
    }
  }

  #check(
    location: Location,
    cpu: number,
    kind: number,
    mode: number,
    site: number,
    mixed: boolean,
  ): void {
    const n = this.#n;
    const { clocks } = location;
    for (let c = 0; c < n; c++) {
      const at = clocks[kind * n + c] as number;
      if (at > (this.#clocks[cpu * n + c] as number) && this.race === null) {
        this.race = {
          address: location.start,
          size: location.end - location.start,
          earlier: { cpu: c, site: location.sites[kind * n + c] as number, mode: kind },
          later: { cpu, site, mode },
          mixed,
        };
      }
    }
  }
}
