/**
 * Shadow memory of the race detector: a map from byte to *location*, a range that has been accessed
 * as one so far, split when another access covers a part of it. Locations are made once and used
 * again in every run.
 *
 * Invariant: the locations in use are disjoint, and each byte of one names it in its page.
 */

const PAGE_BITS = 12;
const PAGE_BYTES = 1 << PAGE_BITS;
/** Several CPUs have touched a location. */
export const SHARED = -1;
/** None has, yet. */
export const UNTOUCHED = -2;

/** SeqCst accesses of one range that reaches into a location: reads in class 0, writes in class 1. */
export class Lane {
  start: number;
  end: number;
  readonly clocks: Int32Array;
  readonly sites: Int32Array;

  constructor(n: number, start: number, end: number) {
    this.start = start;
    this.end = end;
    this.clocks = new Int32Array(2 * n);
    this.sites = new Int32Array(2 * n);
  }

  clone(): Lane {
    const lane = new Lane(this.clocks.length / 2, this.start, this.end);
    lane.clocks.set(this.clocks);
    lane.sites.set(this.sites);
    return lane;
  }
}

/** What is known of a range. */
export class Location {
  start: number = 0;
  end: number = 0;
  /** The only CPU that has touched it, SHARED or UNTOUCHED. */
  owner: number = SHARED;
  /** Kind of the declared word here. */
  word: number = 0;
  /** Range of the SeqCst accesses recorded in `clocks`; end 0: none. */
  atomicStart: number = 0;
  atomicEnd: number = 0;
  /** SeqCst accesses of other ranges, which nearly no program has. */
  lanes: Lane[] | null = null;
  /** Range of the write whose release clock is kept; end 0: none. */
  releaseStart: number = 0;
  releaseEnd: number = 0;
  /** Serial number of that write, to see that all bytes read come from one. */
  releaseId: number = 0;
  readonly release: Int32Array;
  /** Clock of the last access, [class * n + cpu], 0: never. */
  readonly clocks: Int32Array;
  readonly sites: Int32Array;

  constructor(n: number) {
    this.release = new Int32Array(n);
    this.clocks = new Int32Array(4 * n);
    this.sites = new Int32Array(4 * n);
  }

  /** Forgets everything but its range. */
  clear(word: number): void {
    this.owner = UNTOUCHED;
    this.word = word;
    this.atomicEnd = 0;
    this.lanes = null;
    this.releaseEnd = 0;
    const { clocks } = this;
    // A loop: shorter than a call of fill at this length.
    for (let i = 0; i < clocks.length; i++) clocks[i] = 0;
  }

  /** Makes `clocks` those of the SeqCst accesses of [start, end), and keeps the others in `lanes`. */
  turnTo(start: number, end: number): void {
    const { clocks, sites } = this;
    const half = clocks.length / 2;
    const lanes = (this.lanes ??= []);
    let lane = lanes.find((one) => one.start === start && one.end === end);
    if (lane === undefined) {
      lane = new Lane(half / 2, start, end);
      lanes.push(lane);
    }
    lane.start = this.atomicStart;
    lane.end = this.atomicEnd;
    this.atomicStart = start;
    this.atomicEnd = end;
    for (let i = 0; i < half; i++) {
      const [clock, site] = [clocks[half + i] as number, sites[half + i] as number];
      clocks[half + i] = lane.clocks[i] as number;
      sites[half + i] = lane.sites[i] as number;
      lane.clocks[i] = clock;
      lane.sites[i] = site;
    }
  }

  copyFrom(other: Location): void {
    this.owner = other.owner;
    this.word = other.word;
    this.atomicStart = other.atomicStart;
    this.atomicEnd = other.atomicEnd;
    this.lanes = other.lanes === null ? null : other.lanes.map((lane) => lane.clone());
    this.releaseStart = other.releaseStart;
    this.releaseEnd = other.releaseEnd;
    this.releaseId = other.releaseId;
    this.release.set(other.release);
    this.clocks.set(other.clocks);
    this.sites.set(other.sites);
  }
}

/** The locations of one detector. */
export class Shadow {
  readonly #n: number;
  /** 1 + index of the location of each byte; 0: none. */
  readonly #pages: (Int32Array | undefined)[] = [];
  /** Is any byte of the page in a location? 0 or 1. */
  readonly #touched: number[] = [];
  readonly #locations: Location[] = [];
  #used: number = 0;

  constructor(cpus: number) {
    this.#n = cpus;
  }

  reset(): void {
    // All of them: that leaves no page touched.
    for (let i = 0; i < this.#used; i++) {
      const { start, end } = this.#locations[i] as Location;
      this.#map(start, end, 0);
    }
    this.#used = 0;
  }

  /** The location of a byte, or null. */
  at(address: number): Location | null {
    const page = this.#pages[address >>> PAGE_BITS];
    if (page === undefined) return null;
    const id = page[address & (PAGE_BYTES - 1)] as number;
    return id === 0 ? null : (this.#locations[id - 1] as Location);
  }

  /** The first byte behind `from` that is in a location, `end` at most. `from` is in none. */
  gapEnd(from: number, end: number): number {
    for (let a = from; a < end; ) {
      const index = a >>> PAGE_BITS;
      const stop = Math.min((index + 1) * PAGE_BYTES, end);
      const page = this.#pages[index];
      if (page !== undefined && this.#touched[index] === 1) {
        const base = index * PAGE_BYTES;
        for (; a < stop; a++) if (page[a - base] !== 0) return a;
      }
      a = stop;
    }
    return end;
  }

  /** A new location for [start, end), which no other covers; its contents are stale. */
  allocate(start: number, end: number): Location {
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

  /** Cuts the locations that stick out of [address, end) at its edges. */
  split(address: number, end: number): void {
    const first = this.at(address);
    if (first !== null && first.start < address) this.#cut(first, address);
    const last = this.at(end - 1);
    if (last !== null && last.end > end) this.#cut(last, end);
  }

  #cut(location: Location, at: number): void {
    const { end } = location;
    location.end = at;
    this.allocate(at, end).copyFrom(location);
  }

  #map(start: number, end: number, id: number): void {
    for (let a = start; a < end; ) {
      const index = a >>> PAGE_BITS;
      let page = this.#pages[index];
      if (page === undefined) {
        page = new Int32Array(PAGE_BYTES);
        this.#pages[index] = page;
      }
      this.#touched[index] = id === 0 ? 0 : 1;
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
}
