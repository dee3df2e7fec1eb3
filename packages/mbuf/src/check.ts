/**
 * The mbuf part of fsck (spec 9, invariant 14): given all live chains, are structure, reference counts,
 * parked holders, statistics and zone counters what they must be? For quiescent arenas: no CPU may be
 * inside an operation. Reads everything, changes nothing.
 */

import { type Address, type Arena, refcountLoad, Root } from '@umbuf/memory';
import type { Zone } from '@umbuf/uma';
import { M_EXT, M_PKTHDR } from './constants.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord, MbufRoot, MbufStatistics, TYPE_SLOTS } from './layout.ts';
import type { MbufCore } from './core.ts';
import {
  bufferEnd,
  bufferStart,
  countWord,
  DATA,
  FLAGS,
  LEN,
  NEXT,
  packetLength,
  SHARED,
  sumLengths,
  TYPE,
  typeOf,
} from './segment.ts';

const E = ExternalRecord.fields;

/** One piece of storage: who uses it among the live mbufs. */
interface Storage {
  readonly holder: Address;
  readonly type: number;
  readonly buf: number;
  readonly users: Address[];
}

/**
 * What is wrong, one sentence each; empty when nothing is. `chains` are the heads of all live chains
 * of the arena (each mbuf in one of them only).
 */
export function checkMbufs(mbufs: MbufCore, chains: Iterable<Address>): string[] {
  const violations: string[] = [];
  const live = new Set<Address>();
  for (const head of chains) collectChain(mbufs, head, live, violations);
  const storages = collectStorage(mbufs, live, violations);
  const parked = checkStorage(mbufs, live, storages, violations);
  checkCounters(mbufs, live, storages, parked, violations);
  return violations;
}

/** Walks one chain into `live`; ends at an mbuf that was seen before. */
function collectChain(
  mbufs: MbufCore,
  head: Address,
  live: Set<Address>,
  violations: string[],
): void {
  const { words } = mbufs;
  for (let m = head; m !== 0; m = words[(m >> 2) + NEXT]! as Address) {
    if (live.has(m)) {
      violations.push(`mbuf ${m} is in two places of the chains, seen from ${head}`);
      return;
    }
    live.add(m);
    checkMbufWords(mbufs, m, violations);
  }
  if ((words[(head >> 2) + FLAGS]! & M_PKTHDR) === 0) return;
  const sum = sumLengths(mbufs, head);
  if (packetLength(mbufs, head) !== sum) {
    violations.push(`packet ${head}: pkthdr.len ${packetLength(mbufs, head)}, real length ${sum}`);
  }
}

function checkMbufWords(mbufs: MbufCore, m: Address, violations: string[]): void {
  const { words } = mbufs;
  const type = typeOf(mbufs, m);
  const data = words[(m >> 2) + DATA]!;
  const len = words[(m >> 2) + LEN]!;
  if (type < 1 || type > 254) violations.push(`mbuf ${m}: m_type ${type} in a live chain`);
  if (len < 0 || data < bufferStart(mbufs, m) || data + len > bufferEnd(mbufs, m)) {
    violations.push(`mbuf ${m}: ${len} bytes at ${data} are outside its data area`);
  }
}

function collectStorage(
  mbufs: MbufCore,
  live: ReadonlySet<Address>,
  violations: string[],
): Map<Address, Storage> {
  const { words, ext } = mbufs;
  const storages = new Map<Address, Storage>();
  const buffers = new Map<number, Address>();
  for (const m of live) {
    if ((words[(m >> 2) + FLAGS]! & M_EXT) === 0) continue;
    const record = (m >> 2) + ext;
    const holder = words[record + E.holder.at]! as Address;
    const buf = words[record + E.buf.at]!;
    const storage = storages.get(holder);
    if (storage === undefined) {
      const type = words[record + E.type.at]! & 0xff;
      storages.set(holder, { holder, type, buf, users: [m] });
      const other = buffers.get(buf);
      if (other !== undefined && type !== ExtType.EXT_EXTREF) {
        violations.push(`storage ${buf} has two holders: ${other} and ${holder}`);
      }
      buffers.set(buf, holder);
    } else {
      storage.users.push(m);
      if (storage.buf !== buf) violations.push(`mbuf ${m}: buffer differs from holder ${holder}'s`);
    }
  }
  return storages;
}

/** Counts against users; returns the parked holders. */
function checkStorage(
  mbufs: MbufCore,
  live: ReadonlySet<Address>,
  storages: ReadonlyMap<Address, Storage>,
  violations: string[],
): Set<Address> {
  const { words, ext } = mbufs;
  const parked = new Set<Address>();
  for (const { holder, type, buf, users } of storages.values()) {
    const unshared: Address[] = [];
    for (const m of users) if (words[(m >> 2) + SHARED] === 0) unshared.push(m);
    if (unshared.length > 0 && (users.length > 1 || users[0] !== holder)) {
      violations.push(`storage ${buf}: mbuf ${unshared[0]} says unshared, holder ${holder}`);
    }
    if (type === ExtType.EXT_EXTREF) continue; // the count is the caller's
    if (unshared.length === 0) {
      const count = refcountLoad(words, countWord(mbufs, users[0]!));
      if (count !== users.length) {
        violations.push(`holder ${holder}: count ${count}, users ${users.length}`);
      }
    }
    if (live.has(holder)) continue;
    parked.add(holder);
    if (words[(holder >> 2) + TYPE] !== 0) {
      violations.push(`holder ${holder}: in no chain, but not parked`);
    }
    if (words[(holder >> 2) + ext + E.buf.at] !== buf) {
      violations.push(`parked holder ${holder}: its buffer is not ${buf}`);
    }
  }
  return parked;
}

function checkCounters(
  mbufs: MbufCore,
  live: ReadonlySet<Address>,
  storages: ReadonlyMap<Address, Storage>,
  parked: ReadonlySet<Address>,
  violations: string[],
): void {
  const { words, zones, noFreeFlag } = mbufs;
  const held = [...storages.values()];
  const equal = (what: string, got: number, wanted: number): void => {
    if (got !== wanted) violations.push(`${what}: ${got}, should be ${wanted}`);
  };
  const ofType = (type: number): number => held.filter((storage) => storage.type === type).length;
  const packets = ofType(ExtType.EXT_PACKET);
  let foreign = 0;
  for (const m of live) if ((words[(m >> 2) + FLAGS]! & noFreeFlag) !== 0) foreign++;
  // RXRING holders that were freed are their ring's, whether they came from the zone or not.
  const rings = held.filter(
    (storage) => storage.type === ExtType.EXT_RXRING && parked.has(storage.holder),
  ).length;
  const mbufCount = live.size - foreign + parked.size - rings - packets;
  equal('zone mbuf: live items', zones.mbuf.statistics().live, mbufCount);
  equal('zone mbuf_packet: live items', zones.packet.statistics().live, packets);
  equal(
    'zone mbuf_cluster: live items',
    zones.cluster.statistics().live,
    ofType(ExtType.EXT_CLUSTER) + onZoneSide(zones.packet),
  );
  const jumbos = [
    [zones.jumboPage, ExtType.EXT_JUMBOP],
    [zones.jumbo9, ExtType.EXT_JUMBO9],
    [zones.jumbo16, ExtType.EXT_JUMBO16],
  ] as const;
  for (const [zone, type] of jumbos) {
    equal(`zone ${zone.name}: live items`, zone.statistics().live, ofType(type));
  }
  const types = Array.from({ length: TYPE_SLOTS }, () => 0);
  for (const m of live) types[typeOf(mbufs, m) % TYPE_SLOTS]! += 1;
  for (let type = 0; type < TYPE_SLOTS; type++) {
    const sum = sumStatistic(mbufs, MbufStatistics.fields.types.at + type);
    equal(`mbstat of type ${type}`, sum, types[type]!);
  }
  equal('statistic parked', sumStatistic(mbufs, MbufStatistics.fields.parked.at), parked.size);
}

/** Items of a secondary zone that have their zinit behind them: in use and in its caches. */
function onZoneSide(zone: Zone): number {
  const { live, cached, queued } = zone.statistics();
  return live + cached + queued;
}

/** What the statistics can be read from: an `Mbufs`, or `viewMbufs` of an arena nobody is attached to. */
export type StatisticsView = Pick<MbufCore, 'words' | 'root' | 'arena'>;

/** The mbuf system of an arena, for its statistics only; undefined when it has none. */
export function viewMbufs(arena: Arena): StatisticsView | undefined {
  const { words } = arena;
  const root = Atomics.load(words, Root.mbuf) >> 2;
  return root === 0 ? undefined : { words, root, arena };
}

/** A 32-bit statistic summed over all CPUs; wraps as its parts do. */
export function sumStatistic(mbufs: StatisticsView, at: number): number {
  const { words, root, arena } = mbufs;
  const first = words[root + MbufRoot.fields.statistics.at]! >> 2;
  let sum = 0;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    sum = (sum + Atomics.load(words, first + cpu * MbufStatistics.words + at)) | 0;
  }
  return sum;
}

/** mbstat: mbufs in use by m_type, and parked holders, over all CPUs. */
export function readMbstat(mbufs: StatisticsView): {
  readonly types: number[];
  readonly parked: number;
} {
  const types = Array.from({ length: TYPE_SLOTS }, (_, type) =>
    sumStatistic(mbufs, MbufStatistics.fields.types.at + type),
  );
  return { types, parked: sumStatistic(mbufs, MbufStatistics.fields.parked.at) };
}
