/** Page pools against a plain model, fragmentation, and death at every entry of take and put. */
import { describe, expect, test } from 'vitest';
import {
  Arena,
  ArgumentError,
  binOf,
  checkPagePool,
  claimCpu,
  type Cpu,
  domainOfPage,
  epochOfPage,
  freePageCount,
  HandKind,
  kegOfPage,
  largestFreeRun,
  mapPages,
  PAGE_BINS,
  PAGE_SHIFT,
  PAGE_SIZE,
  PagePool,
  pagesInUse,
  Panic,
  putPages,
  recover,
  releaseSlot,
  reserveSlot,
  slabOfPage,
  takePages,
  unmapPages,
  type Address,
} from '../src/index.ts';
import { died, dyingAt } from './support/dying-cpu.ts';
import { putRun, seeded, takeRun } from './support/pages.ts';

const SEED = Number(process.env['UMBUF_SEED'] ?? 20260) | 0;

function makeCpu(bytes: number, domains = 1): Cpu {
  const arena = Arena.create({ bytes, cpus: 4, domains, backing: 'shared-array-buffer' });
  return claimCpu(arena, { manualLeave: true });
}

function violations(cpu: Cpu): string[] {
  const all: string[] = [];
  for (let domain = 0; domain < cpu.arena.domains; domain++) {
    all.push(...checkPagePool(cpu, domain));
  }
  return all;
}

/** Which pages are in use, as a plain array. */
class Model {
  readonly cpu: Cpu;
  readonly used: Uint8Array;
  constructor(cpu: Cpu) {
    this.cpu = cpu;
    this.used = new Uint8Array(cpu.arena.pages);
  }
  set(page: number, pages: number, value: 0 | 1): void {
    for (let index = page; index < page + pages; index++) {
      if (this.used[index] === value) throw new Error(`page ${index} is ${value} already`);
      this.used[index] = value;
    }
  }
  /** Longest free run of a domain. */
  longest(domain: number): number {
    const { arena, words } = this.cpu;
    const pool = arena.poolTable + domain * PagePool.words;
    let longest = 0;
    let run = 0;
    for (let page = words[pool + 16]!; page < words[pool + 17]!; page++) {
      run = this.used[page] === 0 ? run + 1 : 0;
      longest = Math.max(longest, run);
    }
    return longest;
  }
  free(): number {
    const { firstPage, pages } = this.cpu.arena;
    return this.used.subarray(firstPage, pages).filter((used) => used === 0).length;
  }
}

test('bins are exact up to 32 pages, then one per power of two, and all exist', () => {
  for (let pages = 1; pages <= 32; pages++) expect(binOf(pages)).toBe(pages - 1);
  expect([33, 63, 64, 127, 128].map(binOf)).toEqual([32, 32, 33, 33, 34]);
  expect(binOf(2 ** 19)).toBeLessThan(PAGE_BINS);
});

test.each([1, 2, 8])(
  `random takes and puts agree with a plain model in %i domains (seed ${SEED})`,
  (domains) => {
    const cpu = makeCpu(1 << 23, domains);
    const model = new Model(cpu);
    const random = seeded(SEED + domains);
    const runs: { page: number; pages: number }[] = [];
    const sizes = [1, 1, 1, 2, 3, 4, 4, 5, 10, 31, 32, 33, 70];
    let refused = 0;
    for (let operation = 1; operation <= 40_000; operation++) {
      // The mix sways between filling and emptying, so that both exhaustion and coalescing happen.
      const filling = (operation >> 11) % 2 === 0 ? 70 : 30;
      if (random(100) < filling || runs.length === 0) {
        const pages = sizes[random(sizes.length)]!;
        const domain = random(domains);
        const page = takeRun(cpu, pages, domain);
        if (page === 0) {
          refused++;
          if (model.longest(domain) >= pages) throw new Error(`${pages} pages refused wrongly`);
        } else {
          model.set(page, pages, 1);
          if (domainOfPage(cpu.arena, page) !== domain) throw new Error(`page ${page}: domain`);
          runs.push({ page, pages });
        }
      } else {
        const [run] = runs.splice(random(runs.length), 1);
        putRun(cpu, run!.page, run!.pages);
        model.set(run!.page, run!.pages, 0);
      }
      if (operation % 1000 === 0) {
        expect(violations(cpu), `operation ${operation}, seed ${SEED}`).toEqual([]);
        expect(freePageCount(cpu.arena)).toBe(model.free());
        const longest = Math.max(...Array.from({ length: domains }, (_, d) => model.longest(d)));
        expect(largestFreeRun(cpu)).toBe(longest);
      }
    }
    expect(refused, 'the mix must reach exhaustion').toBeGreaterThan(100);
    for (const run of runs) putRun(cpu, run.page, run.pages);
    expect(violations(cpu)).toEqual([]);
    expect(pagesInUse(cpu.arena)).toBe(0);
  },
);

test(`four-page runs do not starve in an hour of mixed use, and all of it coalesces (seed ${SEED})`, () => {
  // 3,600 simulated seconds of 40 slab births; lifetimes from 1 s to the rest of the hour.
  const cpu = makeCpu(64 << 20);
  const random = seeded(SEED);
  const whole = largestFreeRun(cpu);
  const mix = [1, 1, 1, 1, 3, 4, 4, 4, 5, 10];
  const dying: { page: number; pages: number }[][] = Array.from({ length: 3601 }, () => []);
  let starved = 0;
  let mostUsed = 0;
  for (let second = 0; second < 3600; second++) {
    for (const run of dying[second]!) putRun(cpu, run.page, run.pages);
    for (let birth = 0; birth < 40; birth++) {
      const pages = mix[random(mix.length)]!;
      // The load stays below 85 % of the arena: what is refused then is fragmentation.
      if (pagesInUse(cpu.arena) + pages > whole * 0.85) continue;
      const page = takeRun(cpu, pages);
      if (page === 0) {
        if (pages === 4) starved++;
        continue;
      }
      const lives = random(50) === 0 ? random(3600) : 1 + random(120);
      dying[Math.min(3600, second + 1 + lives)]!.push({ page, pages });
    }
    mostUsed = Math.max(mostUsed, pagesInUse(cpu.arena));
  }
  expect(mostUsed).toBeGreaterThan(whole * 0.8);
  expect(starved).toBe(0);
  expect(violations(cpu)).toEqual([]);
  for (const run of dying[3600]!) putRun(cpu, run.page, run.pages);
  expect(largestFreeRun(cpu)).toBe(whole);
  expect(violations(cpu)).toEqual([]);
}, 60_000);

test('a run is never joined across the border of two domains', () => {
  const cpu = makeCpu(1 << 20, 2);
  const border = cpu.words[cpu.arena.poolTable + PagePool.words + 16]!;
  const low = border - cpu.arena.firstPage;
  const first = takeRun(cpu, low, 0);
  const second = takeRun(cpu, cpu.arena.pages - border, 1);
  expect([first, second]).toEqual([cpu.arena.firstPage, border]);
  putRun(cpu, first, low);
  putRun(cpu, second, cpu.arena.pages - border);
  expect(violations(cpu)).toEqual([]);
  expect(takeRun(cpu, cpu.arena.pages - cpu.arena.firstPage, 0)).toBe(0);
});

test('a put joins with the run before, behind, both and none', () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [0, 2, 1],
    [1, 0, 2],
  ]) {
    const cpu = makeCpu(1 << 20);
    const whole = largestFreeRun(cpu);
    const runs = [4, 3, 5].map((pages) => ({ page: takeRun(cpu, pages), pages }));
    const guard = takeRun(cpu, 1);
    for (const index of order) {
      putRun(cpu, runs[index]!.page, runs[index]!.pages);
      expect(violations(cpu)).toEqual([]);
    }
    expect(takeRun(cpu, 12)).toBe(runs[0]!.page);
    putRun(cpu, runs[0]!.page, 12);
    putRun(cpu, guard, 1);
    expect(largestFreeRun(cpu)).toBe(whole);
  }
});

test('exhaustion returns NULL, leaves the slot void and is counted', () => {
  const cpu = makeCpu(1 << 20);
  const slot = reserveSlot(cpu);
  const before = cpu.longs[(cpu.arena.poolTable + PagePool.fields.failures.at) >> 1]!;
  expect(takePages(cpu, cpu.arena.pages - cpu.arena.firstPage + 1, 0, slot)).toBe(0);
  expect(takePages(cpu, 1 << 30, 0, slot)).toBe(0);
  expect(cpu.words[slot]).toBe(HandKind.none);
  expect(cpu.longs[(cpu.arena.poolTable + PagePool.fields.failures.at) >> 1]).toBe(before + 2n);
  releaseSlot(cpu, slot);
});

test('page counts and domains out of range are refused before the lock', () => {
  const cpu = makeCpu(1 << 20, 2);
  const slot = reserveSlot(cpu);
  for (const [pages, domain] of [
    [0, 0],
    [-4, 0],
    [1.5, 0],
    [Number.NaN, 0],
    [1, 2],
    [1, -1],
  ]) {
    expect(() => takePages(cpu, pages!, domain!, slot)).toThrow(ArgumentError);
  }
  expect(cpu.words[cpu.handTop]).toBe(1);
  expect(cpu.words[cpu.arena.poolTable]).toBe(0);
});

test('freeing what is free, or with another length, panics and does not keep the lock', () => {
  const cpu = makeCpu(1 << 20);
  const page = takeRun(cpu, 4);
  expect(() => putRun(cpu, page, 3)).toThrow(Panic);
  expect(cpu.words[cpu.arena.poolTable]).toBe(0);
  putRun(cpu, page, 4);
  expect(() => putRun(cpu, page, 4)).toThrow(/run of 4 freed/);
  expect(() => putRun(cpu, 0, 1)).toThrow(/belongs to no pool/);
});

describe('checkPagePool finds', () => {
  const table = (cpu: Cpu, page: number): number => cpu.arena.pageTable + page * 8;
  const pool = (cpu: Cpu): number => cpu.arena.poolTable;

  test.each<[string, (cpu: Cpu, free: number) => void, RegExp]>([
    ['a count that is off', (cpu) => void (cpu.words[pool(cpu) + 18]! += 1), /counter says/],
    [
      'a lost free list',
      (cpu, free) => void (cpu.words[pool(cpu) + 32 + binOf(cpu.words[table(cpu, free)]!)] = 0),
      /free run on no list/,
    ],
    [
      'an occupied bit too many',
      (cpu) => void (cpu.words[pool(cpu) + 22]! |= 1 << 20),
      /bin 20: occupied bit is 1/,
    ],
    ['a tag of zero', (cpu, free) => void (cpu.words[table(cpu, free)] = 0), /cannot be|run 0/],
    [
      'unequal tags of one run',
      (cpu) => void (cpu.words[table(cpu, cpu.arena.pages - 1)] = 7),
      /another tag/,
    ],
    [
      'a wrong back link',
      (cpu, free) => void (cpu.words[table(cpu, free) + 2] = 9),
      /wrong back link/,
    ],
    [
      'a list that bites its tail',
      (cpu, free) => void (cpu.words[table(cpu, free) + 1] = free),
      /twice/,
    ],
  ])('%s', (_what, breakIt, message) => {
    const cpu = makeCpu(1 << 20);
    const page = takeRun(cpu, 4);
    breakIt(cpu, page + 4);
    expect(checkPagePool(cpu, 0).join('\n')).toMatch(message);
  });

  test('a listed run that is in use', () => {
    const cpu = makeCpu(1 << 20);
    const hole = takeRun(cpu, 4);
    takeRun(cpu, 1);
    putRun(cpu, hole, 4);
    for (const at of [0, 3]) cpu.words[table(cpu, hole + at)] = 4;
    // The tags of the middle pages are undefined; cover the listed run by one in use.
    cpu.words[table(cpu, hole)] = -4;
    cpu.words[table(cpu, hole + 3)] = -4;
    expect(checkPagePool(cpu, 0).join('\n')).toMatch(/run -4 in bin 3/);
  });
});

test('the page map answers for every page of a run and its epoch only grows', () => {
  const cpu = makeCpu(1 << 20);
  const page = takeRun(cpu, 4);
  const address = (page << PAGE_SHIFT) as Address;
  const epoch = epochOfPage(cpu.arena, address);
  mapPages(cpu, address, 4, 640, 1280);
  for (const offset of [0, PAGE_SIZE - 1, 3 * PAGE_SIZE, 4 * PAGE_SIZE - 1]) {
    expect(kegOfPage(cpu.arena, address + offset)).toBe(640);
    expect(slabOfPage(cpu.arena, address + offset)).toBe(1280);
    expect(epochOfPage(cpu.arena, address + offset)).toBe(epoch + 1);
  }
  expect(kegOfPage(cpu.arena, address + 4 * PAGE_SIZE)).toBe(0);
  unmapPages(cpu, address, 4);
  expect(kegOfPage(cpu.arena, address)).toBe(0);
  expect(epochOfPage(cpu.arena, address)).toBe(epoch + 2);
});

describe('a CPU that dies', () => {
  test.each([1, 4, 40])('at any entry of taking %i pages loses none', (pages) => {
    let deaths = 0;
    for (let point = 1; ; point++) {
      const cpu = makeCpu(1 << 20);
      const other = claimCpu(cpu.arena, { manualLeave: true });
      const total = freePageCount(cpu.arena);
      putRun(cpu, takeRun(cpu, 3), 3);
      const dying = dyingAt(cpu, point);
      const ended = !died(() => takePages(dying, pages, 0, reserveSlot(dying)));
      deaths += ended ? 0 : 1;
      expect(recover(other, cpu.number, cpu.incarnation)).toBe('recovered');
      expect(violations(other)).toEqual([]);
      expect(freePageCount(other.arena)).toBe(total);
      if (ended) break;
    }
    expect(deaths, 'reserveSlot (two reads), lockMutex, unlockMutex').toBe(4);
  });

  test('at any entry of putting a run loses none, and puts it once', () => {
    for (let point = 1; ; point++) {
      const cpu = makeCpu(1 << 20);
      const other = claimCpu(cpu.arena, { manualLeave: true });
      const total = freePageCount(cpu.arena);
      const slot = reserveSlot(cpu);
      takePages(cpu, 4, 0, slot);
      const ended = !died(() => putPages(dyingAt(cpu, point), slot));
      expect(recover(other, cpu.number, cpu.incarnation)).toBe('recovered');
      expect(violations(other)).toEqual([]);
      expect(freePageCount(other.arena)).toBe(total);
      if (ended) {
        expect(point).toBe(3);
        break;
      }
    }
  });
});
