/**
 * Counter sets: named groups of counters, made once under the registry lock and found by name in
 * every worker. The sets are a list from `Root.statistics` that only grows at its head; a record
 * never changes once it is linked, so readers walk it without a lock.
 */

import {
  type Arena,
  ArgumentError,
  type Cpu,
  LINE_BYTES,
  lockRegistry,
  Root,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from '@umbuf/memory';
import type { Counter } from './counter.ts';
import { CounterSetRecord, LINE_COUNTERS } from './layout.ts';

const S = CounterSetRecord.fields;
const RECORD_BYTES = CounterSetRecord.words * 4;
const NAME = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
/** The largest number of counters in one set. */
export const SET_COUNTERS_MAX = 1024;

export interface CounterDescription {
  /** Last part of the path; letters, digits, `_`, `-` and dots between them. */
  readonly name: string;
  readonly description: string;
}

/** What this thread knows of a set; the counters themselves are in the arena. */
export interface CounterSet {
  readonly name: string;
  readonly counters: readonly CounterDescription[];
  /** The counters, in the order of `counters`; for `counterAdd` and `counterFetch`. */
  readonly words: readonly Counter[];
}

/**
 * Makes the set `name`, or finds it when a worker has made it before. `counters` is their number
 * (1 to 1024; they are named 0, 1, ...) or their descriptions. Returns undefined when the arena
 * has no pages left. Throws `ArgumentError` for a bad name or number, and when the set exists with
 * other counters; nothing has changed then.
 */
export function createCounters(
  cpu: Cpu,
  name: string,
  counters: number | readonly CounterDescription[],
): CounterSet | undefined {
  const described = describeCounters(name, counters);
  const text = new TextEncoder().encode(textOf(name, described));
  lockRegistry(cpu);
  let found: CounterSet | undefined;
  let made = 0;
  try {
    found = findCounters(cpu.arena, name);
    if (found === undefined) made = publishSet(cpu, described.length, text);
  } finally {
    unlockRegistry(cpu);
  }
  if (found === undefined) return made === 0 ? undefined : readSet(cpu.arena, made);
  if (textOf(name, found.counters) !== textOf(name, described)) {
    throw new ArgumentError(`createCounters: ${name} exists with other counters`);
  }
  return found;
}

/** The set of that name, whichever worker made it; undefined when there is none. */
export function findCounters(arena: Arena, name: string): CounterSet | undefined {
  return listCounters(arena).find((set) => set.name === name);
}

/** All sets of the arena, the oldest first. */
export function listCounters(arena: Arena): CounterSet[] {
  const sets: CounterSet[] = [];
  let address = Atomics.load(arena.words, Root.statistics);
  while (address !== 0) {
    sets.push(readSet(arena, address));
    address = arena.words[(address >> 2) + S.next.at]!;
  }
  return sets.reverse();
}

/** Builds the record and links it at the head of the list; 0 when the arena is full. */
function publishSet(cpu: Cpu, count: number, text: Uint8Array): number {
  const { words } = cpu;
  const lines = Math.ceil(count / LINE_COUNTERS) * cpu.arena.cpus;
  const head = Math.ceil((RECORD_BYTES + text.length) / LINE_BYTES) * LINE_BYTES;
  const bytes = head + lines * LINE_BYTES;
  const address = staticSpace(cpu, bytes);
  if (address === 0) return 0;
  const record = address >> 2;
  const end = address + bytes;
  words[record + S.next.at] = Atomics.load(words, Root.statistics);
  words[record + S.count.at] = count;
  words[record + S.textBytes.at] = text.length;
  words[record + S.counters.at] = address + head;
  cpu.kernels.copyIn(address + RECORD_BYTES, text, 0, text.length);
  const root = Root.statistics;
  // straight: the set exists from the store on; a maker who dies before it leaves nothing
  Atomics.store(words, root, address);
  words[STATIC_NEXT] = end;
  // end
  return address;
}

function readSet(arena: Arena, address: number): CounterSet {
  const { words } = arena;
  const record = address >> 2;
  const text = new Uint8Array(words[record + S.textBytes.at]!);
  arena.kernels.copyOut(address + RECORD_BYTES, text, 0, text.length);
  const [name, ...parts] = new TextDecoder().decode(text).split('\0');
  const first = words[record + S.counters.at]! >> 3;
  const counters: CounterDescription[] = [];
  const places: Counter[] = [];
  for (let index = 0; index < words[record + S.count.at]!; index++) {
    counters.push({ name: parts[index * 2]!, description: parts[index * 2 + 1]! });
    const group = Math.floor(index / LINE_COUNTERS);
    places.push(first + group * arena.cpus * LINE_COUNTERS + (index % LINE_COUNTERS));
  }
  return { name: name!, counters, words: places };
}

function textOf(name: string, counters: readonly CounterDescription[]): string {
  return [name, ...counters.flatMap((counter) => [counter.name, counter.description])].join('\0');
}

/** The checked descriptions. */
function describeCounters(
  name: string,
  counters: number | readonly CounterDescription[],
): readonly CounterDescription[] {
  const count = typeof counters === 'number' ? counters : counters.length;
  if (!Number.isInteger(count) || count < 1 || count > SET_COUNTERS_MAX) {
    throw new ArgumentError(`createCounters: ${count} counters is not 1 to ${SET_COUNTERS_MAX}`);
  }
  const described =
    typeof counters === 'number'
      ? Array.from({ length: count }, (_, index) => ({ name: String(index), description: '' }))
      : counters;
  const names = described.map((counter) => counter.name);
  for (const each of [name, ...names]) {
    if (!NAME.test(each)) throw new ArgumentError(`createCounters: bad name '${each}'`);
  }
  if (new Set(names).size !== count) {
    throw new ArgumentError(`createCounters: two counters of ${name} have one name`);
  }
  if (described.some((counter) => counter.description.includes('\0'))) {
    throw new ArgumentError(`createCounters: NUL in a description of ${name}`);
  }
  return described;
}
