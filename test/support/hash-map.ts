/**
 * A hash map that workers read without locks while others insert and delete: the example of
 * docs/guide/smr.md, which shows this file. Entries are items of an SMR zone. A reader follows
 * pointers inside a section; a writer holds the lock of one chain, changes it by one atomic store,
 * and frees what it unlinked: the zone sees to it that no reader still has it when it is reused.
 */
import { type Address, lockMutex, NULL, unlockMutex } from '@umbuf/memory';
import {
  atomicPointer,
  defineZone,
  i32,
  M_NOWAIT,
  M_ZERO,
  type Smr,
  struct,
  type TypedZone,
  type Uma,
  type ZoneDefinition,
} from '@umbuf/uma';

/** Whoever finds an entry reads it plainly: `key` and `value` never change while it is linked. */
export const Entry = struct('hash map entry', {
  next: atomicPointer('hash map entry'),
  key: i32,
  value: i32,
});

export const entryZone: ZoneDefinition = defineZone({ ...Entry.definition, smr: 'hash map' });

/** One chain: a mutex (16 words), and the pointer to its first entry on a line of its own. */
const CHAIN_BYTES = 128;
const HEAD = 64;

function tableZone(chains: number): ZoneDefinition {
  return defineZone({ name: `hash map table ${chains}`, size: chains * CHAIN_BYTES, align: 63 });
}

export class HashMap {
  readonly table: Address;
  readonly chains: number;
  readonly smr: Smr;
  private readonly uma: Uma;
  private readonly entries: TypedZone<typeof Entry.fields>;

  private constructor(
    uma: Uma,
    table: Address,
    chains: number,
    smr: Smr,
    entries: TypedZone<typeof Entry.fields>,
  ) {
    this.uma = uma;
    this.table = table;
    this.chains = chains;
    this.smr = smr;
    this.entries = entries;
  }

  /** A new map with so many chains; undefined when the arena is exhausted. */
  static create(uma: Uma, chains: number): HashMap | undefined {
    const table = uma.open(tableZone(chains)).alloc(M_NOWAIT | M_ZERO);
    return table === NULL ? undefined : HashMap.open(uma, table, chains);
  }

  /** A map that exists: `table` is the address that its maker has told us. */
  static open(uma: Uma, table: Address, chains: number): HashMap {
    const zone = uma.open(entryZone);
    return new HashMap(uma, table, chains, zone.getSmr()!, zone.of(Entry));
  }

  /** The value of a key, or undefined. No lock, no wait. */
  get(key: number): number | undefined {
    const { words } = this.uma;
    const { fields } = this.entries;
    this.smr.enter();
    let entry = Atomics.load(words, (this.chainOf(key) + HEAD) >> 2);
    while (entry !== NULL && fields.key.get(entry) !== key) entry = fields.next.get(entry);
    const value = entry === NULL ? undefined : fields.value.get(entry);
    this.smr.exit();
    return value;
  }

  /** Sets the value of a key; false, with nothing changed, when the arena is exhausted. */
  set(key: number, value: number): boolean {
    const { uma } = this;
    const { fields, zone } = this.entries;
    const entry = zone.alloc(M_NOWAIT);
    if (entry === NULL) return false;
    fields.key.set(entry, key);
    fields.value.set(entry, value);
    const chain = this.chainOf(key);
    try {
      lockMutex(uma.cpu, chain >> 2);
    } catch (error) {
      zone.free(entry); // a thread that may not block
      throw error;
    }
    const link = this.linkTo(chain, key);
    const old = Atomics.load(uma.words, link);
    fields.next.set(entry, old === NULL ? NULL : fields.next.get(old));
    // Readers find the old entry or the new one, never none.
    Atomics.store(uma.words, link, entry);
    unlockMutex(uma.cpu, chain >> 2);
    // Behind the lock: a free may have to wait for readers.
    zone.free(old);
    return true;
  }

  /** Deletes a key; whether it was there. */
  delete(key: number): boolean {
    const { uma } = this;
    const { fields, zone } = this.entries;
    const chain = this.chainOf(key);
    lockMutex(uma.cpu, chain >> 2);
    const link = this.linkTo(chain, key);
    const old = Atomics.load(uma.words, link);
    // The unlinked entry keeps its own pointer: a reader on it goes on along the chain.
    if (old !== NULL) Atomics.store(uma.words, link, fields.next.get(old));
    unlockMutex(uma.cpu, chain >> 2);
    zone.free(old);
    return old !== NULL;
  }

  /** Under the chain's lock: word of the pointer to the key's entry, or of the NULL at the end. */
  private linkTo(chain: number, key: number): number {
    const { words } = this.uma;
    const { fields } = this.entries;
    let link = (chain + HEAD) >> 2;
    for (;;) {
      const entry = Atomics.load(words, link);
      if (entry === NULL || fields.key.get(entry) === key) return link;
      link = (entry + Entry.offsets.next) >> 2;
    }
  }

  private chainOf(key: number): number {
    return this.table + ((Math.imul(key, 0x9e3779b1) >>> 0) % this.chains) * CHAIN_BYTES;
  }
}
