/**
 * The world that a recorded program runs in (test/vectors): an arena with the
 * `netbsd` preset and quirks, identities of mbufs and storage in order of allocation, failure
 * injection, the driver's external buffers, owners, protocols and interfaces.
 */

import { type Address, Arena, claimCpu, NULL } from '@umbuf/memory';
import { defineZone, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { ExtType, Mbufs, NetbsdFlag } from '@umbuf/mbuf';
import { attachOwner, readOwnerCounters, readOwners } from '@umbuf/tracing';

/** How many more attempts of a kind fail: the k-th one, or with sticky all from then on. */
interface Failure {
  at: number;
  sticky: boolean;
  attempts: number;
  injected: number;
}

const EXT_FREE = 1;
const DRIVER_OWNERS = [
  ['tcp', 'tx'],
  ['udp', 'rx'],
  ['fxp0', ''],
] as const;
/** Room for the largest buffer of a program, and a page-aligned start. */
const BUFFER_BYTES = 1 << 16;

export class World {
  readonly mbufs: Mbufs;
  readonly buffers: Zone;
  readonly ids: Map<number, number> = new Map();
  readonly storageIds: Map<number, number> = new Map();
  readonly failures: Map<string, Failure> = new Map();
  readonly events: object[] = [];
  private readonly owners = new Map<string, Address>();
  private readonly ownerNames = new Map<Address, string>();
  private readonly silent: Set<number> = new Set();
  private readonly args: Map<number, number> = new Map();
  private ownersBefore = new Map<string, number[]>();
  private drainsBefore = 0;
  private nextId = 0;
  private nextStorageId = 0;

  constructor(settings: { maxLinkhdr: number; maxProtohdr: number }) {
    const arena = Arena.create({ bytes: 24 << 20, cpus: 1, level: 'checks' });
    const uma = Uma.attach(claimCpu(arena, { manualLeave: true }));
    this.mbufs = Mbufs.attach(uma, {
      preset: 'netbsd',
      quirks: 'netbsd-1.191',
      owners: true,
      ...settings,
    });
    this.buffers = uma.open(defineZone({ name: 'driver', size: BUFFER_BYTES, align: 4095 }));
    this.watch('mbuf', this.mbufs.zones.mbuf, (item) => this.ids.set(item, ++this.nextId));
    this.watch('cluster', this.mbufs.zones.cluster, (item) => this.nameStorage(item));
    for (const zone of this.openTagZones()) this.watch('tag', zone, () => {});
    const drain = (): void => {};
    this.mbufs.registerDrain('protocol', drain);
    this.mbufs.registerDrain('protocol', drain);
    this.mbufs.registerDrain('interface', drain);
    for (const [name, description] of DRIVER_OWNERS) attachOwner(uma.cpu, name, description);
    for (const { address, name, description } of readOwners(arena)) {
      this.owners.set(`${name}.${description}`, address);
      this.ownerNames.set(address, `${name}.${description}`);
    }
    this.mbufs.registerExternalFree(EXT_FREE, 'driver', (holder) => this.freeBuffer(holder));
  }

  /** Forgets identities: the next program begins. */
  reset(): void {
    this.ids.clear();
    this.storageIds.clear();
    this.nextId = 0;
    this.nextStorageId = 0;
    this.failures.clear();
    this.events.length = 0;
    this.ownersBefore = new Map(this.readCounters());
    this.drainsBefore = this.mbufs.drains();
  }

  /** Reclaims since the program began. */
  drains(): number {
    return this.mbufs.drains() - this.drainsBefore;
  }

  /** The owner `name.description`. */
  ownerOf(name: string): Address {
    const owner = this.owners.get(name);
    if (owner === undefined) throw new Error(`no owner ${name}`);
    return owner;
  }

  ownerName(owner: Address): string {
    return this.ownerNames.get(owner) ?? `owner ${owner}`;
  }

  /** The six counters of each owner since the program began; owners without any are left out. */
  ownerCounters(): Record<string, number[]> {
    const owners: Record<string, number[]> = {};
    for (const [name, counters] of this.readCounters()) {
      const since = counters.map((value, at) => value - (this.ownersBefore.get(name)?.[at] ?? 0));
      if (since.some((value) => value !== 0)) owners[name] = since;
    }
    return owners;
  }

  private readCounters(): [string, number[]][] {
    const { arena } = this.mbufs;
    return [...this.owners].map(([name, address]) => {
      const owner = readOwnerCounters(arena, address);
      const counters = [
        owner.claims,
        owner.releases,
        owner.clusterClaims,
        owner.clusterReleases,
        owner.extClaims,
        owner.extReleases,
      ];
      return [name, counters.map(Number)];
    });
  }

  arm(fail: Record<string, number | boolean> | undefined): void {
    this.failures.clear();
    this.events.length = 0;
    for (const kind of ['mbuf', 'cluster', 'ext', 'tag']) {
      const at = fail?.[kind];
      if (typeof at !== 'number') continue;
      this.failures.set(kind, { at, sticky: fail?.['sticky'] === true, attempts: 0, injected: 0 });
    }
  }

  injected(): number {
    return [...this.failures.values()].reduce((sum, { injected }) => sum + injected, 0);
  }

  /** MEXTADD: a fresh buffer with the driver's callback. `rw` and `loan` set the flags afterwards. */
  extadd(m: Address, size: number, loan: boolean, rw: boolean, arg: number): void {
    const buf = this.buffers.alloc(M_NOWAIT);
    this.nameStorage(buf);
    this.args.set(buf, arg);
    const flags =
      (rw ? NetbsdFlag.M_EXT_RW : 0) | (loan ? NetbsdFlag.M_EXT_PAGES | NetbsdFlag.M_EXT_ROMAP : 0);
    this.mbufs.extadd(m, buf, size, EXT_FREE, 0, 0, flags, ExtType.EXT_MOD_TYPE);
  }

  /** MEXTMALLOC: storage from malloc, released without a callback of the driver. */
  extmalloc(m: Address, size: number): void {
    if (this.fails('ext')) return;
    const buf = this.buffers.alloc(M_NOWAIT);
    this.nameStorage(buf);
    this.silent.add(buf);
    this.mbufs.extadd(m, buf, size, EXT_FREE, 0, 0, NetbsdFlag.M_EXT_RW, ExtType.EXT_MOD_TYPE);
  }

  /** The tag zones open at first use: a tag of each size makes them. */
  private openTagZones(): Zone[] {
    const { mbufs } = this;
    for (let length = 1; length <= 0xffff; length = length * 2 + 1) {
      mbufs.tagFree(mbufs.tagGet(1, length, M_NOWAIT));
    }
    return mbufs.tagZones.filter((zone) => zone !== undefined);
  }

  /** What the driver gave with its storage: for m_print. */
  argumentOf(buf: number): number | undefined {
    return this.silent.has(buf) ? undefined : this.args.get(buf);
  }

  /** Whether the storage came from malloc. */
  isMalloc(buf: number): boolean {
    return this.silent.has(buf);
  }

  private freeBuffer(holder: Address): void {
    const { words, ext } = this.mbufs;
    const buf = words[(holder >> 2) + ext + 2]!;
    if (!this.silent.delete(buf)) {
      const extid = this.storageIds.get(buf);
      const size = words[(holder >> 2) + ext + 3]!;
      this.events.push({
        ev: 'ext_free',
        extid,
        size,
        arg: this.args.get(buf),
        mbuf: this.ids.get(holder),
      });
    }
    this.args.delete(buf);
    this.buffers.free(buf);
  }

  private nameStorage(buf: number): void {
    this.storageIds.set(buf, ++this.nextStorageId);
  }

  /** Counts and names what a zone hands out, and makes armed attempts fail. */
  private watch(kind: string, zone: Zone, name: (item: Address) => void): void {
    const alloc = zone.alloc.bind(zone);
    zone.alloc = (flags: number, argument?: number): Address => {
      if (this.fails(kind)) return NULL;
      const item = alloc(flags, argument);
      if (item !== NULL) name(item);
      return item;
    };
  }

  private fails(kind: string): boolean {
    const failure = this.failures.get(kind);
    if (failure === undefined) return false;
    failure.attempts++;
    const hit =
      failure.attempts === failure.at || (failure.sticky && failure.attempts > failure.at);
    if (hit) failure.injected++;
    return hit;
  }
}
