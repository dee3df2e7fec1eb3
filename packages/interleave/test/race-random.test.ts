/**
 * The race detector against the definition: random accesses of all widths by three CPUs, overlapping
 * in every way, are judged by ECMAScript's rules written down naively (every pair of events, bytes one by
 * one), and by the detector with its shadow memory, owners and release clocks. Both must name the same
 * first access that races.
 */
import { describe, expect, test } from 'vitest';
import {
  ATOMIC_READ,
  ATOMIC_UPDATE,
  ATOMIC_WRITE,
  PLAIN_READ,
  PLAIN_WRITE,
  RaceDetector,
} from '../src/oracle/race.ts';
import { WORD_ORDINARY } from '../src/oracle/words.ts';
import { Random } from '../src/search/random.ts';

const CPUS = 3;

interface Access {
  readonly cpu: number;
  readonly address: number;
  readonly size: number;
  readonly mode: number;
}

/** The definition, event by event. */
class Definition {
  readonly #events: (Access & { readonly time: number; readonly knows: number[] })[] = [];
  /** What each CPU knows of the others' events. */
  readonly #knows: number[][] = Array.from({ length: CPUS }, () => [0, 0, 0]);
  readonly #lastWrite = new Map<number, number>();
  readonly #lists = new Map<number, number[]>();

  /** Takes in an access; does it race with an earlier one? */
  races(access: Access): boolean {
    const { cpu, address, size, mode } = access;
    const knows = this.#knows[cpu]!;
    const isAtomic = mode >= ATOMIC_READ;
    const reads = mode === PLAIN_READ || mode === ATOMIC_READ || mode === ATOMIC_UPDATE;
    const writes = mode === PLAIN_WRITE || mode >= ATOMIC_WRITE;
    // What it reads from happens before it, and whatever happened before that.
    if (isAtomic && reads) this.#synchronize(access, knows);
    const found = this.#events.some((other) => {
      if (other.cpu === cpu || knows[other.cpu]! >= other.time) return false;
      if (other.address >= address + size || other.address + other.size <= address) return false;
      const otherWrites = other.mode === PLAIN_WRITE || other.mode >= ATOMIC_WRITE;
      if (!writes && !otherWrites) return false;
      const isEqual = other.address === address && other.size === size;
      return !(isAtomic && other.mode >= ATOMIC_READ && isEqual);
    });
    knows[cpu]!++;
    const event = { ...access, time: knows[cpu]!, knows: [...knows] };
    this.#events.push(event);
    if (writes) {
      for (let a = address; a < address + size; a++) {
        this.#lastWrite.set(a, this.#events.length - 1);
      }
    }
    return found;
  }

  /** With the SeqCst write of the same range that all its bytes come from. */
  #synchronize({ address, size }: Access, knows: number[]): void {
    const at = this.#lastWrite.get(address);
    if (at === undefined) return;
    for (let a = address; a < address + size; a++) if (this.#lastWrite.get(a) !== at) return;
    const write = this.#events[at]!;
    if (write.mode < ATOMIC_WRITE || write.address !== address || write.size !== size) return;
    write.knows.forEach((time, c) => (knows[c] = Math.max(knows[c]!, time)));
  }

  /** wait or notify: behind all that left the list before. */
  passList(cpu: number, address: number): void {
    const knows = this.#knows[cpu]!;
    this.#lists.get(address)?.forEach((time, c) => (knows[c] = Math.max(knows[c]!, time)));
    this.#lists.set(address, [...knows]);
  }
}

/** Where accesses fall: across a page of the shadow, on few bytes. */
const BASE = 8192 - 16;

function randomAccess(random: Random, cpu: number): Access {
  const mode = [PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE, ATOMIC_UPDATE][
    random.below(5)
  ]!;
  const isBulk = mode < ATOMIC_READ && random.below(6) === 0;
  const size = isBulk ? 1 + random.below(30) : 1 << random.below(4);
  // Elements stand at multiples of their size; bulk ranges and DataViews anywhere.
  const isAligned = mode >= ATOMIC_READ || random.below(4) !== 0;
  const at = random.below(32 - Math.min(size, 30));
  return { cpu, address: BASE + (isAligned && !isBulk ? at - (at % size) : at), size, mode };
}

describe('the race detector and the definition', () => {
  /** Share of accesses that keep to CPU-private bytes, so that runs get long before they race. */
  test.each([0, 50, 90])('name the same access, %i percent of them private', (share) => {
    const detector = new RaceDetector(CPUS, { at: () => WORD_ORDINARY });
    let raced = 0;
    let longest = 0;
    for (let seed = 1; seed <= 2500; seed++) {
      const random = new Random(seed);
      const definition = new Definition();
      detector.reset();
      for (let i = 0; i < 60; i++) {
        const cpu = random.below(CPUS);
        if (random.below(8) === 0) {
          const list = BASE + 4 * random.below(2);
          definition.passList(cpu, list);
          detector.clocks.enterList(cpu, list);
          detector.clocks.leaveList(cpu, list);
          continue;
        }
        let access = randomAccess(random, cpu);
        if (random.below(100) < share) {
          access = { ...access, address: access.address + 4096 * (cpu + 1) };
        }
        const expected = definition.races(access);
        detector.access(cpu, access.address, access.size, access.mode, i);
        const found = detector.race !== null;
        if (found !== expected) {
          expect.fail(`seed ${seed}, access ${i}, ${JSON.stringify(access)}: found ${found}`);
        }
        longest = Math.max(longest, i);
        if (!expected) continue;
        raced++;
        expect(detector.race?.later).toMatchObject({ cpu, site: i });
        break;
      }
    }
    expect(raced).toBeGreaterThan(1000);
    expect(longest).toBeGreaterThan(15);
  });
});

describe('what the definition found', () => {
  const words = [
    { cpu: 0, address: 16, size: 4 },
    { cpu: 1, address: 16, size: 4 },
  ] as const;

  function raceOf(accesses: readonly Access[]): unknown {
    const detector = new RaceDetector(CPUS, { at: () => WORD_ORDINARY });
    detector.reset();
    for (const [i, { cpu, address, size, mode }] of accesses.entries()) {
      detector.access(cpu, address, size, mode, i);
    }
    return detector.race;
  }

  test('a plain store before the Atomics.store that is read happened before the read', () => {
    const [mine, other] = words;
    const published = [
      { ...mine, mode: PLAIN_WRITE },
      { ...mine, mode: ATOMIC_WRITE },
    ];
    expect(raceOf([...published, { ...other, mode: ATOMIC_READ }])).toBe(null);
    expect(raceOf([published[0]!, { ...other, mode: ATOMIC_READ }])).not.toBe(null);
  });

  test('an access of another width between two of one width makes no race of these', () => {
    const [mine, other] = words;
    const byte = { ...other, address: 17, size: 1, mode: ATOMIC_READ };
    const load = { ...mine, mode: ATOMIC_READ };
    expect(raceOf([load, byte, { ...other, mode: ATOMIC_UPDATE }])).toBe(null);
    expect(raceOf([load, { ...byte, mode: ATOMIC_WRITE }])).toMatchObject({ mixed: true });
  });
});
