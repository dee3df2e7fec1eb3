/** The `ScenarioCpu` of one worker: zones, rings and the oracle around the allocator's calls. */

import type { Address } from '@umbuf/memory';
import { M_NOWAIT, type Uma, type Zone } from '@umbuf/uma';
import type { Random } from '../random.ts';
import type { ScenarioCpu } from '../scenario/scenario.ts';
import { type ControlBlock, stopRequested } from './control.ts';
import type { Oracle } from './oracle.ts';

export class StressCpu implements ScenarioCpu {
  readonly uma: Uma;
  readonly index: number;
  readonly cpus: number;
  readonly random: Random;
  readonly zones: readonly Zone[];
  readonly shared: number;
  private readonly control: ControlBlock;
  private readonly oracle: Oracle;

  constructor(
    uma: Uma,
    index: number,
    random: Random,
    zones: readonly Zone[],
    control: ControlBlock,
    oracle: Oracle,
  ) {
    this.uma = uma;
    this.index = index;
    this.cpus = control.cpus;
    this.random = random;
    this.zones = zones;
    this.shared = control.shared;
    this.control = control;
    this.oracle = oracle;
  }

  take(zone: Zone): Address {
    const item = zone.alloc(M_NOWAIT);
    if (item !== 0) this.oracle.stamp(zone.name, item);
    return item;
  }

  stamp(zone: Zone, item: Address): void {
    this.oracle.stamp(zone.name, item);
  }

  check(zone: Zone, item: number): boolean {
    return this.oracle.verify(zone.name, item);
  }

  give(zone: Zone, item: number): void {
    if (this.oracle.verify(zone.name, item)) this.oracle.unstamp(item);
    zone.free(item);
  }

  ring(from: number, to: number): number {
    return this.control.rings + (from * this.cpus + to) * this.control.ringStride;
  }

  count(allocs: number, frees: number): void {
    this.oracle.takes += allocs;
    this.oracle.gives += frees;
  }

  expect(condition: boolean, invariant: string, message: string): boolean {
    if (!condition) this.oracle.report(invariant, message);
    return condition;
  }

  stopping(): boolean {
    return stopRequested(this.uma.words, this.control);
  }
}
