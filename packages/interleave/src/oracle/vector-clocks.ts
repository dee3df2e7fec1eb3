/**
 * Vector clocks: what each CPU knows of the others' times, and the clocks of waiter lists, which
 * order leaving a list before the next entry.
 *
 * Invariant: `times[c * n + c]` is CPU c's own time; it advances after every release.
 */
export class VectorClocks {
  readonly n: number;
  /** [cpu * n + other]. */
  readonly times: Int32Array;
  readonly #lists = new Map<number, Int32Array>();

  constructor(cpus: number) {
    this.n = cpus;
    this.times = new Int32Array(cpus * cpus);
  }

  reset(): void {
    const { n, times } = this;
    times.fill(0);
    for (let c = 0; c < n; c++) times[c * n + c] = 1;
    if (this.#lists.size > 0) this.#lists.clear();
  }

  tick(cpu: number): void {
    const at = cpu * this.n + cpu;
    this.times[at] = (this.times[at] as number) + 1;
  }

  /** CPU `cpu` learns what `from` (n times) knows. */
  join(cpu: number, from: Int32Array, offset: number = 0): void {
    const { n, times } = this;
    const into = cpu * n;
    for (let c = 0; c < n; c++) {
      const v = from[offset + c] as number;
      if (v > (times[into + c] as number)) times[into + c] = v;
    }
  }

  copy(cpu: number, into: Int32Array): void {
    const { n, times } = this;
    for (let c = 0; c < n; c++) into[c] = times[cpu * n + c] as number;
  }

  /** `child` starts after everything `parent` has done so far (a recoverer after a death). */
  fork(parent: number, child: number): void {
    this.join(child, this.times, parent * this.n);
    this.tick(parent);
  }

  /** Enters the critical section of the waiter list at an address. */
  enterList(cpu: number, address: number): void {
    const list = this.#lists.get(address);
    if (list !== undefined) this.join(cpu, list);
  }

  /** Leaves it: the next to enter happens after us. */
  leaveList(cpu: number, address: number): void {
    let list = this.#lists.get(address);
    if (list === undefined) {
      list = new Int32Array(this.n);
      this.#lists.set(address, list);
    }
    this.copy(cpu, list);
    this.tick(cpu);
  }
}
