/**
 * The bytes of the shared buffers that `prepare` made, as they were then; put back before each run.
 * Whole buffers, not what is known to have changed: code that is not explored (a `final` that
 * inspects memory natively) writes unseen. That costs 12 us for an arena of 256 KiB.
 */
import type { AddressSpace } from './memory.ts';

export class Snapshots {
  /** Has there been a `take`? */
  taken: boolean = false;
  readonly #pairs: { readonly live: Uint8Array; readonly saved: Uint8Array }[] = [];

  take(memory: AddressSpace): void {
    for (const { buffer } of memory.buffers) {
      const live = new Uint8Array(buffer);
      // A copy in unshared memory.
      this.#pairs.push({ live, saved: new Uint8Array(live) });
    }
    this.taken = true;
  }

  restore(): void {
    for (const { live, saved } of this.#pairs) live.set(saved);
  }
}
