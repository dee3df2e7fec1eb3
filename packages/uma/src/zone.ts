/**
 * A zone as one thread sees it: the definition with its callbacks, and the word indices of the
 * shared record and of this CPU's cache. Items are plain addresses; no JavaScript object is made
 * per item. Objects with fields are built on top of this.
 */

import {
  type Address,
  ArgumentError,
  enterCpu,
  limitHasSleepers,
  limitMax,
  lockRegistry,
  unlockRegistry,
} from '@umbuf/memory';
import { type AllocResult, allocResult } from './alloc-result.ts';
import { createZone, findZone } from './create.ts';
import { type DestroyReport, destroyZone, finishBroken } from './destroy.ts';
import { allocFromDomain } from './domain-alloc.ts';
import { defineZone, fingerprint, type ZoneDefinition } from './definition.ts';
import { ZoneMismatchError } from './errors.ts';
import { giveBackTo, handHeight } from './hands.ts';
import { adoptItem } from './item-table.ts';
import { KegRecord, ZoneRecord } from './layout.ts';
import { M_NOWAIT, M_WAITOK } from './flags.ts';
import { allocAsync, type AllocAsyncOptions, type AllocWaitOptions } from './limit/async.ts';
import type { Maxaction } from './limit/maxaction.ts';
import { zoneLimit } from './limit/reserve.ts';
import { setCarried, setMax, setMaxcache } from './limit/set-max.ts';
import { type LimitStatistics, readLimitStatistics } from './limit/statistics.ts';
import { claimItem, setZoneOwner } from './owner/item-owner.ts';
import { prealloc, setReserve } from './prealloc.ts';
import type { Fields, Struct } from './typed/struct.ts';
import { typedZone, type TypedZone } from './typed/typed-zone.ts';
import { setZoneSmr, smrAt } from './smr/open.ts';
import type { Smr } from './smr/smr.ts';
import { setWarning } from './limit/warning.ts';
import type { Uma } from './uma.ts';
import { closedOperations, letGo, requireLive } from './zone-life.ts';
import { checkRange, requireTimeout } from './zone-arguments.ts';
import { zoneCache } from './zone-domain.ts';
import { readZoneStatistics, type ZoneStatistics } from './zone-statistics.ts';

const Z = ZoneRecord.fields;

/** The constructor only stores fields. */
export class Zone {
  readonly uma: Uma;
  readonly definition: ZoneDefinition;
  readonly name: string;
  /** Bytes per item. */
  readonly size: number;
  /** Word index of the zone record, of this CPU's cache, and of the keg. */
  readonly record: number;
  readonly cache: number;
  readonly keg: number;
  /** Requests of this thread that wait with `allocAsync`. */
  asyncWaits = 0;
  /** This thread's action, and how often it met the limit since the last run (limit/maxaction.ts). */
  maxaction: Maxaction | undefined = undefined;
  maxactionPending = 0;
  /** False once this thread has let go of the destroyed zone. */
  isOpen = true;
  /** Objects that this thread made for the zone before, from other definitions of the same data. */
  private earlier: WeakRef<Zone>[] = [];
  private allocOne: (cache: number, flags: number, argument: number) => Address;
  private freeOne: (cache: number, item: number, argument: number) => void;

  constructor(uma: Uma, definition: ZoneDefinition, record: number, keg: number) {
    this.uma = uma;
    this.definition = definition;
    this.name = definition.name;
    this.size = definition.size;
    this.record = record;
    this.cache = zoneCache(record, uma.cpu.number);
    this.keg = keg;
    this.allocOne = uma.operations.alloc;
    this.freeOne = uma.operations.free;
  }

  /**
   * Allocates one item (`uma_zalloc_arg`). `flags`: M_NOWAIT or M_WAITOK, with M_ZERO to clear it;
   * `argument` goes to the ctor. M_NOWAIT returns NULL (0) when the zone is at its limit or the arena
   * exhausted; M_WAITOK sleeps, in order of arrival, until an item or pages come (`allocWait` bounds
   * that). Either returns NULL when the ctor or zinit refused, and on a CPU that may not block when a
   * lock is busy. The bytes are shared by whoever has the address; their content is what ctor and the
   * last user left.
   *
   * A sleeper gets what others free, and what they have cached when they next leave, come to a slow
   * path or call `checkpoint`: a job that does none of these holds it back for as long as it runs.
   *
   * Throws what ctor, init or zinit threw, with everything undone; `WouldBlockError` where M_WAITOK
   * would have to sleep on a CPU that may not block (use `allocAsync`), or behind an `allocAsync` of
   * this very thread.
   */
  alloc(flags: number, argument: number = 0): Address {
    return this.allocOne(this.cache, flags, argument);
  }

  /**
   * Allocates one item whose memory is in `domain` (`uma_zalloc_domain`): from that domain's queue,
   * else from the keg there, never from another domain. For FIRSTTOUCH zones; throws `ArgumentError`
   * for others and for a domain that the arena does not have. The rest is as `alloc`.
   */
  allocDomain(domain: number, flags: number, argument: number = 0): Address {
    return allocFromDomain(this.uma, this.record, this.cache, domain, flags, argument);
  }

  /**
   * Frees an item of this zone (`uma_zfree_arg`), allocated by any CPU; NULL is a no-op. Throws
   * from level `checks` on: `WrongZoneError`, `UnalignedFreeError`, `DoubleFreeError`, with
   * nothing changed; on a CPU that may not block `LockBusyError`, with nothing changed, when too
   * many frees wait for busy locks already. What a dtor, zfini or fini threw is thrown at the end,
   * with the item freed.
   */
  free(item: number, argument: number = 0): void {
    this.freeOne(this.cache, item, argument);
  }

  /**
   * `alloc` with M_WAITOK that waits for at most `timeoutMs` milliseconds (for ever when absent) and
   * says why it has no item. The bound holds for all waiting inside, that of callbacks included.
   * Throws what `alloc` throws.
   */
  allocWait(flags: number, options: AllocWaitOptions = {}): AllocResult {
    const { uma } = this;
    const { argument = 0, timeoutMs = Infinity } = options;
    requireTimeout('allocWait', timeoutMs);
    const outer = uma.waitUntil;
    uma.waitUntil = Math.min(outer, performance.now() + timeoutMs);
    try {
      const item = this.allocOne(this.cache, (flags & ~M_NOWAIT) | M_WAITOK, argument);
      return allocResult(uma, item);
    } finally {
      uma.waitUntil = outer;
    }
  }

  /**
   * Allocates one item without blocking the thread: waits for the zone's limit in the same queue as
   * the blocking requests, in order of arrival, for at most `timeoutMs` milliseconds. Resolves with
   * the item or with the reason why there is none; rejects with the signal's reason when aborted,
   * and with what a callback threw. While it waits it keeps the process alive, and the CPU must not
   * be released. An item of a promise that nobody awaits any more is the caller's all the same.
   */
  allocAsync(options: AllocAsyncOptions = {}): Promise<AllocResult> {
    requireTimeout('allocAsync', options.timeoutMs ?? Infinity);
    return allocAsync(this, options);
  }

  /**
   * Allocates up to `count` items into `items` from index `from`; returns how many it got (fewer
   * only when the zone is exhausted). `items` is an ordinary array or typed array.
   */
  allocMany(items: number[] | Int32Array, from: number, count: number, flags: number): number {
    checkRange('allocMany', items, from, count);
    for (let index = 0; index < count; index++) {
      const item = this.allocOne(this.cache, flags, 0);
      if (item === 0) return index;
      items[from + index] = item;
    }
    return count;
  }

  /** Frees `count` items of `items` from index `from`. From `checks` on a bad one throws; those before it are freed. */
  freeMany(items: ArrayLike<number>, from: number, count: number): void {
    checkRange('freeMany', items, from, count);
    if (from + count > items.length) {
      throw new ArgumentError(`freeMany: ${from} + ${count} is behind the array's ${items.length}`);
    }
    for (let index = 0; index < count; index++) this.freeOne(this.cache, items[from + index]!, 0);
  }

  /**
   * Limits the items outside the keg (held by users and cached) to `items`, 1 to 2^30 - 1, and
   * splits the caches accordingly; returns `items` (`uma_zone_set_max`). At any time, from any CPU:
   * a first limit begins with the items that are outside already, and a raised one wakes as many
   * sleepers as fit. Items above a lowered limit stay until they are freed. There is no way to take
   * the limit away. Throws `ArgumentError` out of range, `TableFullError` without pages for the
   * record, `LockBusyError` on a CPU that may not block, with the limit as it was; and at its end what a
   * zone fini threw of items that were cached beyond the new limit's share.
   */
  setMax(items: number): number {
    this.enter();
    setMax(this.uma, this.record, items);
    return items;
  }

  /**
   * Keeps `items` free items in each domain of the keg for requests with M_USE_RESERVE: others find
   * it empty once no more are free (`uma_zone_reserve`). Builds none: see `prealloc`. A secondary
   * zone shares its primary's. Throws `ArgumentError` for a number out of range.
   */
  reserve(items: number): void {
    this.enter();
    setReserve(this.uma, this.keg, items);
  }

  /**
   * Builds slabs for `items` items, in all domains by turns (`uma_prealloc`), and returns how many
   * items they have: fewer than asked for when the pages are used up. Throws `ArgumentError`, what
   * init threw, and `LockBusyError` on a CPU that may not block; what was built by then stays.
   */
  prealloc(items: number): number {
    this.enter();
    return prealloc(this.uma, this.keg, items);
  }

  /** The limit; 0 = none (`uma_zone_get_max`). */
  getMax(): number {
    this.requireOpen();
    const limit = zoneLimit(this.uma, this.record);
    return limit === 0 ? 0 : limitMax(this.uma, limit);
  }

  /** Items in users' hands, approximate while CPUs run (`uma_zone_get_cur`). */
  getCur(): number {
    return Math.max(0, this.statistics().live);
  }

  /**
   * Bounds the items that the zone caches to about `items`, 0 or more: the size of the CPUs'
   * buckets and the length of the domains' queues follow from it (`uma_zone_set_maxcache`). Buckets
   * that are larger already are drained, at the next slow path of a CPU that is running.
   */
  setMaxcache(items: number): void {
    this.enter();
    setMaxcache(this.uma, this.record, items);
  }

  /**
   * The text that is printed when a request meets the limit, as `[zone: NAME] TEXT`, by whichever
   * CPU it is, at most once per 300 seconds and while `vm.zone_warnings` is on
   * (`uma_zone_set_warning`). 1 to 124 bytes of UTF-8, else `ArgumentError`; `TableFullError` without
   * pages for it.
   */
  setWarning(text: string): void {
    this.enter();
    setWarning(this.uma, this.record, text);
  }

  /**
   * Sets what this thread runs, in a job of its own, when one of its requests met the limit; before
   * the thread sleeps for the limit it runs at once. At most one run per zone is queued in the whole
   * arena (`uma_zone_set_maxaction`). Undefined takes it away.
   */
  setMaxaction(action: Maxaction | undefined): void {
    this.maxaction = action;
  }

  /**
   * Says that items of this zone, cached ones too, carry an item of `other` each (zinit attached it,
   * zfini frees it): who waits for `other` then has this zone's caches emptied too, and frees go past
   * them meanwhile. Once; every thread may say it again. Throws `ArgumentError` for a second other,
   * for one of another arena, and for a circle.
   */
  carries(other: Zone): void {
    this.enter();
    setCarried(this, other);
  }

  /** Whether somebody waits for the limit: more than just "full" (`uma_zone_exhausted`). */
  exhausted(): boolean {
    this.requireOpen();
    const limit = zoneLimit(this.uma, this.record);
    return limit !== 0 && limitHasSleepers(this.uma, limit);
  }

  /** The limit and who waits for it; read without stopping anyone. */
  limitStatistics(): LimitStatistics {
    this.requireOpen();
    return readLimitStatistics(this.uma, this.record);
  }

  private enter(): void {
    const { cpu } = this.uma;
    if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
    requireLive(this.uma, this.record);
  }

  private requireOpen(): void {
    if (!this.isOpen) requireLive(this.uma, this.record);
  }

  /** This CPU becomes the item's holder in the item table (after it came over a ring). */
  adopt(item: Address): void {
    requireLive(this.uma, this.record);
    adoptItem(this.uma, this.record, item);
  }

  /**
   * `owner`, an address of `attachOwner`, takes a live item of the zone over (`m_claim`); 0 and its own
   * owner change nothing. Nothing in a zone without an item table, as in a kernel without MBUFTRACE.
   * Throws `ArgumentError` for what is no owner, and no live item.
   */
  claim(item: Address, owner: Address): void {
    this.requireOpen();
    claimItem(this.uma, this.record, item, owner);
  }

  /**
   * Says whose the zone's new items are; 0: nobody's, and without an owner those of `unknown.<zone>`,
   * until they are claimed. Returns the owner: 0 also where there is no item table, or no room for one.
   */
  setOwner(owner?: Address): Address {
    this.enter();
    return setZoneOwner(this.uma, this.record, owner);
  }

  /**
   * The zone's items as objects with the fields of `struct`, from whose definition it was opened.
   * Throws `ZoneMismatchError` for any other.
   */
  of<F extends Fields>(struct: Struct<F>): TypedZone<F> {
    return typedZone(this, struct);
  }

  /**
   * Makes this an SMR zone (`uma_zone_set_smr`), before its first use: items are reused only when
   * no section of `smr` can see them. Throws `ZoneDefinitionError`, with nothing changed, when it is
   * one already, was used, or is open in another CPU (name the SMR in the definition then).
   */
  setSmr(smr: Smr): void {
    this.enter();
    setZoneSmr(this.uma, this.record, smr);
  }

  /** The SMR that protects the items (`uma_zone_get_smr`); undefined for other zones. */
  getSmr(): Smr | undefined {
    const smr = this.uma.words[this.record + Z.smr.at]!;
    return smr === 0 ? undefined : smrAt(this.uma, smr);
  }

  /**
   * Destroys the zone in the whole arena, with its keg when it is no secondary zone (`uma_zdestroy`).
   * From the call on every allocation and free of it throws `ZoneDestroyedError`, in every thread, and
   * the name is free for a new zone. What CPUs have cached is drained, whatever they do: who does not
   * answer within `answerMs` milliseconds each is named in the result, which is then not `complete`:
   * call again. Items that are still out are reported and lost, with their pages. Throws
   * `ZoneBusyError` inside a callback and while secondary zones are left, `ZoneDestroyedError` when
   * another thread was first, `LockBusyError` on a CPU that may not block (call again), and what
   * zfini and fini threw, with the zone destroyed.
   */
  destroy(options: { readonly answerMs?: number } = {}): DestroyReport {
    if (!this.isOpen) requireLive(this.uma, this.record);
    return destroyZone(this.uma, this.record, options.answerMs);
  }

  /** This object takes the place of another one of this thread. For openZone. */
  replace(known: Zone): void {
    this.earlier = [
      ...known.earlier.filter((one) => one.deref() !== undefined),
      new WeakRef(known),
    ];
    this.asyncWaits = known.asyncWaits;
  }

  /**
   * The thread has let go of the destroyed zone: this object, and those that it replaced, refuse
   * everything from now on. `grave` is a dead zone's record. For zone-life.ts.
   */
  bury(grave: number): void {
    const { words } = this.uma;
    const buried = {
      record: grave,
      cache: grave + ZoneRecord.words,
      keg: words[grave + Z.keg.at]!,
    };
    const operations = closedOperations(this.uma, this.name);
    Object.assign(this, buried, { isOpen: false, ...operations });
    for (const one of this.earlier) one.deref()?.bury(grave);
    this.earlier = [];
  }

  /** Counters summed over all CPUs; read without stopping anyone. */
  statistics(): ZoneStatistics {
    this.requireOpen();
    return readZoneStatistics(this.uma, this.record);
  }
}

/** `uma.open`: finds the zone by name or makes it, and notes that this CPU has it open. */
export function openZone(uma: Uma, wanted: ZoneDefinition): Zone {
  const definition = defineZone(wanted);
  if (definition.primary !== undefined) uma.open(definition.primary);
  const { cpu, words } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  letGo(uma);
  finishBroken(uma);
  let record = 0;
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    record = findZone(uma, definition.name);
    if (record === 0) record = createZone(uma, definition, 0);
    if (words[record + Z.fingerprint.at] !== fingerprint(definition)) {
      throw new ZoneMismatchError(
        `zone ${definition.name} exists with another size, alignment, flags, callbacks or version`,
      );
    }
    // Under the lock: from here on a destroyed zone's record waits for us.
    Atomics.or(words, record + Z.openers.at + (cpu.number >> 5), 1 << (cpu.number & 31));
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
  const id = words[record + Z.id.at]!;
  const known = uma.opened[id];
  if (known?.definition === definition) return known;
  const zone = new Zone(uma, definition, record, words[record + Z.keg.at]!);
  if (known !== undefined) zone.replace(known);
  uma.opened[id] = zone;
  return zone;
}

/** Items per slab of a zone's keg. */
export function itemsPerSlab(zone: Zone): number {
  return zone.uma.words[zone.keg + KegRecord.fields.ipers.at]!;
}
