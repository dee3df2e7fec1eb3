/**
 * The waiter lists of the memory model: one FIFO per flat address, shared by wait and waitAsync.
 * Used by the machine only.
 */

/** A sleeping CPU, or an asynchronous wait with its callback. */
export interface Waiter {
  readonly cpu: number;
  readonly wake: ((result: string) => void) | null;
}

/** All lists of a run. */
export class Waiters {
  readonly #lists = new Map<number, Waiter[]>();

  reset(): void {
    if (this.#lists.size > 0) this.#lists.clear();
  }

  add(address: number, cpu: number): void {
    this.#list(address).push({ cpu, wake: null });
  }

  addAsync(address: number, cpu: number, wake: (result: string) => void): void {
    this.#list(address).push({ cpu, wake });
  }

  /** Takes the waiter at a position (0: the longest asleep) off the list. */
  take(address: number, position: number): Waiter | undefined {
    const list = this.#lists.get(address);
    return list === undefined ? undefined : list.splice(position, 1)[0];
  }

  count(address: number): number {
    return this.#lists.get(address)?.length ?? 0;
  }

  /** A time-out: the CPU leaves the list by itself. */
  remove(address: number, cpu: number): void {
    const list = this.#lists.get(address);
    const at = list?.findIndex((waiter) => waiter.cpu === cpu && waiter.wake === null) ?? -1;
    if (at >= 0) list?.splice(at, 1);
  }

  /** A death: the CPU leaves every list. */
  removeAll(cpu: number): void {
    for (const [address, list] of this.#lists) {
      this.#lists.set(
        address,
        list.filter((waiter) => waiter.cpu !== cpu),
      );
    }
  }

  #list(address: number): Waiter[] {
    let list = this.#lists.get(address);
    if (list === undefined) {
      list = [];
      this.#lists.set(address, list);
    }
    return list;
  }
}
