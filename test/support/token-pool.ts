/**
 * The smallest allocator with per-CPU caches: numbered tokens on a list under a mutex, a chain of
 * them cached privately by each CPU, and a table of those that each CPU holds. It exists to prove
 * `memory`'s CPU protocol (enter, leave, answer, claim, drain, hand stack, recover) without any
 * zone; the tests' currency is conservation: every token is in exactly one place, always.
 *
 * Words, from the root record on: the mutex and the list head (locked); per CPU one line of
 * private words (head, tail, count of the cached chain) and one of thread-private words (the
 * tokens held); per token its link and its holder (owned).
 * Every change of place is one straight line, as in production code.
 */

import {
  type Arena,
  CpuState,
  type Cpu,
  type Claim,
  checkpoint,
  claimedState,
  enterCpu,
  lockMutex,
  lockRegistry,
  releaseSlot,
  reserveSlot,
  Root,
  STATIC_NEXT,
  staticSpace,
  STATE_KIND_MASK,
  unlockMutex,
  unlockRegistry,
} from '@umbuf/memory';

/** Hand kind of one token on its way; above those of memory, uma and mbuf. */
export const TOKEN_HAND = 60;
/** Tokens that one CPU can hold. */
export const HELD_MAX = 30;
const CACHE_MAX = 8;

// Word offsets from the root record.
const LOCK = 0;
const LIST = 16;
const TOKENS = 17;
const CPUS = 32;
// Word offsets in a CPU's part.
const CPU_WORDS = 64;
const HEAD = 0;
const TAIL = 1;
const COUNT = 2;
const HELD = 32;

export interface TokenPool {
  /** Word index of the root record. */
  readonly base: number;
  readonly tokens: number;
  /** Word index of token 0's link (there is no token 0) and of its holder. */
  readonly links: number;
  readonly holders: number;
}

/** Makes the pool of this arena with tokens 1 to `tokens`, all on the list. */
export function createTokenPool(cpu: Cpu, tokens: number): TokenPool {
  const { arena, words } = cpu;
  const size = (CPUS + arena.cpus * CPU_WORDS + 2 * (tokens + 1)) * 4;
  lockRegistry(cpu);
  const address = staticSpace(cpu, size);
  if (address === 0) throw new Error(`no pages for ${tokens} tokens`);
  const base = address >> 2;
  const links = base + CPUS + arena.cpus * CPU_WORDS;
  words[base + TOKENS] = tokens;
  for (let token = 1; token < tokens; token++) words[links + token] = token + 1;
  words[base + LIST] = 1;
  const end = address + size;
  const root = Root.application;
  // straight
  Atomics.store(words, root, address);
  words[STATIC_NEXT] = end;
  // end
  unlockRegistry(cpu);
  return openTokenPool(arena);
}

/** The pool of this arena, with its hooks registered in this thread; once per thread. */
export function openTokenPool(arena: Arena): TokenPool {
  const base = Atomics.load(arena.words, Root.application) >> 2;
  const tokens = arena.words[base + TOKENS]!;
  const links = base + CPUS + arena.cpus * CPU_WORDS;
  const pool: TokenPool = { base, tokens, links, holders: links + tokens + 1 };
  arena.hooks.answers.push((cpu) => flushCache(cpu, pool, cpu.number));
  arena.hooks.slotRepairs[TOKEN_HAND] = (cpu, slot) => putSlot(cpu, pool, slot);
  arena.hooks.cacheRepairs.push((cpu, dead) => {
    flushCache(cpu, pool, dead);
    while (cpu.words[cpuPart(pool, dead) + HELD] !== 0) putHeld(cpu, pool, dead);
  });
  return pool;
}

/** Takes a token into this CPU's held table; 0 when there is none to be had. */
export function takeToken(cpu: Cpu, pool: TokenPool): number {
  const { words } = cpu;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const part = cpuPart(pool, cpu.number);
  const token = words[part + HEAD]!;
  if (token === 0) return takeFromList(cpu, pool);
  const held = words[part + HELD]!;
  const next = words[pool.links + token]!;
  if (words[pool.holders + token] !== 0) throw new Error(`token ${token} is cached and held`);
  const holder = cpu.number + 1;
  // straight
  words[part + HELD + 1 + held] = token;
  words[part + HELD] = held + 1;
  words[pool.holders + token] = holder;
  words[part + HEAD] = next;
  if (next === 0) words[part + TAIL] = 0;
  words[part + COUNT]! -= 1;
  // end
  return token;
}

/** Puts the token held last into the cache (a full cache goes to the list first); 0 if none. */
export function giveToken(cpu: Cpu, pool: TokenPool): number {
  const { words } = cpu;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const part = cpuPart(pool, cpu.number);
  if (words[part + COUNT]! >= CACHE_MAX) {
    checkpoint(cpu);
    flushCache(cpu, pool, cpu.number);
  }
  const held = words[part + HELD]!;
  if (held === 0) return 0;
  const token = words[part + HELD + held]!;
  const head = words[part + HEAD]!;
  if (words[pool.holders + token] !== cpu.number + 1) throw new Error(`token ${token} not mine`);
  // straight
  words[pool.holders + token] = 0;
  words[pool.links + token] = head;
  words[part + HEAD] = token;
  if (head === 0) words[part + TAIL] = token;
  words[part + COUNT]! += 1;
  words[part + HELD] = held - 1;
  // end
  return token;
}

/** For `drainCpu`: moves the cache of an idle CPU to the list, in one claim. */
export function tokenClaim(pool: TokenPool): Claim {
  return (cpu, target, seen) => claimTokens(cpu, pool, target, seen);
}

function claimTokens(cpu: Cpu, pool: TokenPool, target: number, seen: number): boolean {
  const { words, arena } = cpu;
  const part = cpuPart(pool, target);
  const state = arena.cpuTable + target * 256;
  const claimed = claimedState(seen, cpu.number);
  const { base, links } = pool;
  if ((seen & STATE_KIND_MASK) !== CpuState.idle) throw new Error('claim of a CPU not idle');
  lockMutex(cpu, base + LOCK);
  // straight
  const won = Atomics.compareExchange(words, state, seen, claimed) === seen;
  if (won) {
    const head = words[part + HEAD]!;
    if (head !== 0) {
      words[links + words[part + TAIL]!] = words[base + LIST]!;
      words[base + LIST] = head;
      words[part + HEAD] = 0;
      words[part + TAIL] = 0;
      words[part + COUNT] = 0;
    }
  }
  // end
  if (won) {
    // straight: who dies before the store leaves a claim behind that has moved everything
    Atomics.store(words, state, seen);
    Atomics.notify(words, state);
    // end
  }
  unlockMutex(cpu, base + LOCK);
  return won;
}

/** Tokens that CPU `number` holds. */
export function heldTokens(arena: Arena, pool: TokenPool, number: number): number {
  return Atomics.load(arena.words, cpuPart(pool, number) + HELD);
}

/** Tokens cached by CPU `number`; exact only while that CPU stands still. */
export function cachedTokens(arena: Arena, pool: TokenPool, number: number): number {
  return Atomics.load(arena.words, cpuPart(pool, number) + COUNT);
}

/** Tokens on the list; only while nobody else works. */
export function listedTokens(arena: Arena, pool: TokenPool): number {
  const { words } = arena;
  let count = 0;
  for (let token = words[pool.base + LIST]!; token !== 0; token = words[pool.links + token]!) {
    if (++count > pool.tokens) return Infinity;
  }
  return count;
}

/** What is wrong with the places of the tokens; only while nobody else works. */
export function auditTokens(arena: Arena, pool: TokenPool): string[] {
  const { words } = arena;
  const violations: string[] = [];
  const place = new Map<number, string>();
  const visit = (token: number, where: string): boolean => {
    const other = place.get(token);
    if (other !== undefined) violations.push(`token ${token}: ${where} and ${other}`);
    if (token < 1 || token > pool.tokens) violations.push(`token ${token}: ${where}`);
    place.set(token, where);
    return other === undefined;
  };
  for (let token = words[pool.base + LIST]!; token !== 0; token = words[pool.links + token]!) {
    if (!visit(token, 'on the list')) break;
  }
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const part = cpuPart(pool, cpu);
    let count = 0;
    for (let token = words[part + HEAD]!; token !== 0; token = words[pool.links + token]!) {
      count++;
      if (!visit(token, `cached by CPU ${cpu}`)) break;
    }
    if (count !== words[part + COUNT]) {
      violations.push(`CPU ${cpu} caches ${count} tokens, its count says ${words[part + COUNT]}`);
    }
    for (let index = 1; index <= words[part + HELD]!; index++) {
      visit(words[part + HELD + index]!, `held by CPU ${cpu}`);
    }
  }
  for (let token = 1; token <= pool.tokens; token++) {
    if (!place.has(token)) violations.push(`token ${token}: lost`);
  }
  return violations;
}

function cpuPart(pool: TokenPool, number: number): number {
  return pool.base + CPUS + number * CPU_WORDS;
}

/** Slow path of take: a token from the list, through the hand stack, to the held table. */
function takeFromList(cpu: Cpu, pool: TokenPool): number {
  const { words } = cpu;
  const { base, links, holders } = pool;
  checkpoint(cpu);
  const slot = reserveSlot(cpu);
  lockMutex(cpu, base + LOCK);
  const token = words[base + LIST]!;
  if (token === 0) {
    unlockMutex(cpu, base + LOCK);
    releaseSlot(cpu, slot);
    return 0;
  }
  // straight
  words[slot + 1] = token;
  words[slot] = 60;
  words[base + LIST] = words[links + token]!;
  // end
  unlockMutex(cpu, base + LOCK);
  const part = cpuPart(pool, cpu.number);
  const held = words[part + HELD]!;
  if (words[holders + token] !== 0) throw new Error(`token ${token} is listed and held`);
  const holder = cpu.number + 1;
  // straight
  words[part + HELD + 1 + held] = token;
  words[part + HELD] = held + 1;
  words[holders + token] = holder;
  words[slot] = 0;
  // end
  releaseSlot(cpu, slot);
  return token;
}

/** Moves the chain cached by CPU `number` (this one, or a dead one) to the list. */
function flushCache(cpu: Cpu, pool: TokenPool, number: number): void {
  const { words } = cpu;
  const { base, links } = pool;
  const part = cpuPart(pool, number);
  lockMutex(cpu, base + LOCK);
  const head = words[part + HEAD]!;
  if (head !== 0) {
    // straight
    words[links + words[part + TAIL]!] = words[base + LIST]!;
    words[base + LIST] = head;
    words[part + HEAD] = 0;
    words[part + TAIL] = 0;
    words[part + COUNT] = 0;
    // end
  }
  unlockMutex(cpu, base + LOCK);
}

/** The repair of a hand slot: the ordinary put, with the slot cleared in the same line. */
function putSlot(cpu: Cpu, pool: TokenPool, slot: number): void {
  const { words } = cpu;
  const { base, links } = pool;
  lockMutex(cpu, base + LOCK);
  const token = words[slot + 1]!;
  // straight
  words[links + token] = words[base + LIST]!;
  words[base + LIST] = token;
  words[slot] = 0;
  // end
  unlockMutex(cpu, base + LOCK);
}

/** Puts the last token that the dead CPU held onto the list. */
function putHeld(cpu: Cpu, pool: TokenPool, dead: number): void {
  const { words } = cpu;
  const { base, links, holders } = pool;
  const part = cpuPart(pool, dead);
  lockMutex(cpu, base + LOCK);
  const held = words[part + HELD]!;
  const token = words[part + HELD + held]!;
  // straight
  words[holders + token] = 0;
  words[links + token] = words[base + LIST]!;
  words[base + LIST] = token;
  words[part + HELD] = held - 1;
  // end
  unlockMutex(cpu, base + LOCK);
}
