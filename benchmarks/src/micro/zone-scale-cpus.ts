/**
 * What the pair costs while the other CPU does it too, in the same zone. A factor above that of two
 * loops over private buffers would be memory that the two caches share and should not.
 *
 * A sample counts when the other CPU was at work from its beginning to its end: its time stamps at
 * both ends are fresh, and in between it did as much as a CPU does that is not interrupted.
 */

import { bareBatch, BATCH, zoneBatch } from '../lib/baseline.ts';
import { figures } from '../lib/bench.ts';
import { anotherRound, type Effort, type Figures, type Measurement } from '../lib/row.ts';
import { Board, IDLE, SecondCpu, sharedNow } from '../lib/second-cpu.ts';
import { bootSystem, itemZone } from '../lib/system.ts';
import { BARE_LOOP, ZONE_LOOP } from './zone-scale-cpus.worker.ts';

const PASSES = 256;
/** A stamp is fresh for this many milliseconds; a pass takes a thousandth of one. */
const FRESH_MS = 0.05;
const ENOUGH_SAMPLES = 10;
const TOGETHER_MS = 40;
/** A sample needs this part of the other CPU's usual work. */
const ENOUGH = 0.8;

export async function measure(_name: string, effort: Effort): Promise<Measurement> {
  const { arena, uma } = bootSystem(64);
  const passes = { zone: zoneBatch(uma.open(itemZone)), bare: bareBatch() };
  const other = await SecondCpu.start('micro/zone-scale-cpus.worker.js', arena.handle(), 0);
  for (let turn = 0; turn < 20_000; turn++) {
    passes.zone();
    passes.bare();
  }
  const sampling = new Sampling(other, effort.samples);
  const samples = { zone: [], zoneAlone: [], bare: [], bareAlone: [] } as Record<string, number[]>;
  const start = performance.now();
  let rounds = 0;
  // On a busy machine the two seldom run together: then on for as long as a row may take.
  const tooFew = (): boolean =>
    samples['zone']!.length < ENOUGH_SAMPLES || samples['bare']!.length < ENOUGH_SAMPLES;
  const patience = { ...effort, rounds: Infinity, seconds: effort.seconds * 5 };
  for (
    ;
    anotherRound(effort, rounds, start) || (tooFew() && anotherRound(patience, rounds, start));
    rounds++
  ) {
    samples['zoneAlone']!.push(...sampling.alone(passes.zone));
    samples['zone']!.push(...sampling.together(passes.zone, ZONE_LOOP));
    samples['bareAlone']!.push(...sampling.alone(passes.bare));
    samples['bare']!.push(...sampling.together(passes.bare, BARE_LOOP));
  }
  await other.stop();
  const [zone, zoneAlone, bare, bareAlone] = ['zone', 'zoneAlone', 'bare', 'bareAlone'].map(
    (key): Figures => {
      if (samples[key]!.length === 0)
        throw new Error('the two CPUs never ran at the same time: too busy a machine');
      return figures(samples[key]!, (PASSES * BATCH) / 1e6);
    },
  ) as [Figures, Figures, Figures, Figures];
  const factor = { min: bare.min / bareAlone.min, median: bare.median / bareAlone.median };
  return {
    ...zone,
    baseline: {
      name: 'the pair alone, times the same factor of two loops over private buffers',
      min: zoneAlone.min * factor.min,
      median: zoneAlone.median * factor.median,
    },
    ratio: zone.min / (zoneAlone.min * factor.min),
    note:
      `alone ${zoneAlone.min.toFixed(2)} ns; private buffers ${bareAlone.min.toFixed(2)} alone, ` +
      `${bare.min.toFixed(2)} together; ${samples['zone']!.length} samples overlapped in ${rounds} rounds`,
  };
}

/** Takes samples of PASSES passes, in milliseconds. */
class Sampling {
  private readonly other: SecondCpu;
  private readonly count: number;

  constructor(other: SecondCpu, count: number) {
    this.other = other;
    this.count = count;
  }

  alone(pass: () => void): number[] {
    this.other.order(IDLE);
    waitUntil(() => Atomics.load(this.other.words, Board.done) === 0);
    return Array.from({ length: this.count }, () => timed(pass).took);
  }

  /**
   * `count` samples, or what came together in TOGETHER_MS: on a busy machine the system first has
   * to move one of two threads that it keeps on one CPU.
   */
  together(pass: () => void, loop: number): number[] {
    const { other } = this;
    other.order(loop);
    const end = performance.now() + TOGETHER_MS;
    const taken: { took: number; work: number }[] = [];
    while (taken.length < this.count && performance.now() < end) {
      const fresh = this.fresh();
      const before = Atomics.load(other.words, Board.done);
      const { took } = timed(pass);
      const done = Atomics.load(other.words, Board.done) - before;
      if (fresh && this.fresh() && done > 0) taken.push({ took, work: done / took });
    }
    const rates = taken.map(({ work }) => work).sort((left, right) => left - right);
    const usual = rates[rates.length >> 1];
    return taken.filter(({ work }) => work >= ENOUGH * usual!).map(({ took }) => took);
  }

  private fresh(): boolean {
    const { words, stamps } = this.other;
    if (Atomics.load(words, Board.done) === 0) return false;
    return sharedNow() - stamps[Board.stamp >> 1]! < FRESH_MS;
  }
}

function timed(pass: () => void): { took: number } {
  const start = performance.now();
  for (let turn = 0; turn < PASSES; turn++) pass();
  return { took: performance.now() - start };
}

function waitUntil(condition: () => boolean): void {
  const end = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > end) throw new Error('the second CPU does not answer');
  }
}
