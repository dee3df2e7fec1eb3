/**
 * A stress session: one arena, its CPUs as real workers, and any number of scenario runs on them.
 * After each run the CPUs are parked and every invariant is judged; then all caches are drained,
 * and the pages in use must be what they were before.
 */

import { Arena, largestFreeRun, pagesInUse } from '@umbuf/memory';
import { Machine } from '@umbuf/smp';
import { allZoneStatistics, fsck, reclaim, Uma, type ZoneStatistics } from '@umbuf/uma';
import type { Scenario, Violation } from '../scenario/scenario.ts';
import { type ControlBlock, createControl, requestStop, resetControl } from './control.ts';
import type { FaultName } from './faults.ts';
import { loadScenario } from './load-scenario.ts';
import type { StressArgument, StressResult } from './task.ts';
import { type StressProgress, Watch } from './watch.ts';

export interface SessionOptions {
  /** Known names, or `file:` URLs of modules. */
  readonly scenarios: readonly string[];
  readonly cpus: number;
  readonly level: 'none' | 'checks' | 'invariants';
  /** `vm.debug.divisor` of the arena; 1 when absent. */
  readonly divisor?: number;
}

export interface RunOptions {
  /** One of the session's scenarios. */
  readonly scenario: string;
  /** How long to run; ignored when `operations` is given. */
  readonly seconds: number;
  /** Operations per CPU. */
  readonly operations?: number;
  readonly seed: number;
  readonly fault?: FaultName;
  /** Called about five times a second. */
  readonly onProgress?: (progress: StressProgress) => void;
  /** Called once after the run, when the CPUs are parked and nothing has been drained yet. */
  readonly onParked?: (uma: Uma) => void;
  /** No progress for this long is a violation, milliseconds; 10,000 when absent. */
  readonly stallMs?: number;
}

export interface RunOutcome {
  readonly scenario: Scenario;
  readonly seconds: number;
  readonly results: readonly StressResult[];
  readonly violations: readonly Violation[];
  /** The scenario's zones before anything was drained. */
  readonly zones: readonly ZoneStatistics[];
  /** Nothing moved any more: the arena is in no known state, the session is over. */
  readonly stalled: boolean;
}

const TASKS = ['./task.js', './heap.js'].map((file) => new URL(file, import.meta.url).href);
const MIB = 1 << 20;

export class StressSession {
  readonly arena: Arena;
  readonly uma: Uma;
  private readonly machine: Machine;
  private readonly control: ControlBlock;
  private readonly scenarios: ReadonlyMap<string, Scenario>;
  private broken = false;

  private constructor(
    machine: Machine,
    uma: Uma,
    control: ControlBlock,
    scenarios: ReadonlyMap<string, Scenario>,
  ) {
    this.machine = machine;
    this.arena = uma.arena;
    this.uma = uma;
    this.control = control;
    this.scenarios = scenarios;
  }

  static async open(options: SessionOptions): Promise<StressSession> {
    const { cpus, level } = options;
    const scenarios = new Map<string, Scenario>();
    for (const name of options.scenarios) scenarios.set(name, await loadScenario(name));
    const all = [...scenarios.values()];
    const perCpu = Math.max(...all.map((scenario) => scenario.bytesPerCpu ?? 16 * MIB));
    const factor = level === 'none' ? 1 : 2;
    const bytes = Math.min(1024 * MIB, (32 * MIB + perCpu * cpus) * factor);
    const arena = Arena.create({ bytes, cpus: cpus + 1, level });
    const machine = await Machine.boot({
      arena,
      cpus,
      tasks: TASKS,
      onAttach: (cpu) => {
        const uma = Uma.attach(cpu, { divisor: options.divisor ?? 1 });
        for (const scenario of all) {
          scenario.attach?.(uma);
          for (const definition of scenario.zones) uma.open(definition);
        }
      },
    });
    try {
      const cpu = machine.cpu!;
      const control = createControl(cpu, {
        cpus,
        ringSlots: Math.max(...all.map((scenario) => scenario.ringSlots ?? 0)),
        sharedWords: Math.max(...all.map((scenario) => scenario.sharedWords ?? 0)),
      });
      return new StressSession(machine, Uma.attach(cpu), control, scenarios);
    } catch (error) {
      await machine.shutdown();
      throw error;
    }
  }

  /** Runs one scenario and judges it. */
  async run(options: RunOptions): Promise<RunOutcome> {
    const scenario = this.scenarios.get(options.scenario);
    if (scenario === undefined) throw new Error(`the session has no scenario ${options.scenario}`);
    const { uma, control } = this;
    const before = this.drainedPages();
    resetControl(uma.words, control);
    scenario.setup?.(uma.cpu, control.shared);
    const from = performance.now();
    const running = this.machine.run<StressArgument, StressResult>('stress', (index: number) => ({
      scenario: options.scenario,
      index,
      seed: options.seed,
      control,
      ...(options.operations === undefined ? {} : { operations: options.operations }),
      ...(options.fault === undefined ? {} : { fault: options.fault }),
    }));
    const watch = new Watch(uma, options);
    const stalled = await watch.until(running, () => requestStop(uma.words, control));
    requestStop(uma.words, control);
    this.broken ||= stalled !== undefined;
    if (stalled !== undefined) running.catch(() => {}); // terminated with the machine
    const results = stalled === undefined ? await running : [];
    const seconds = (performance.now() - from) / 1000;
    options.onParked?.(uma);
    const zones = this.zonesOf(scenario);
    const violations = results.flatMap((result) => result.violations);
    if (stalled !== undefined) violations.push(stalled);
    else violations.push(...this.judge(results, before));
    return { scenario, seconds, results, violations, zones, stalled: stalled !== undefined };
  }

  /** Drains every cache and free slab; pages then in use by ordinary zones. */
  drainedPages(): number {
    reclaim(this.uma, 'drain-cpu');
    return this.zonePages().reduce((sum, zone) => sum + zone.pages, 0);
  }

  /** Pages per keg of ordinary zones, as they are. */
  zonePages(): readonly { readonly name: string; readonly pages: number }[] {
    return allZoneStatistics(this.uma)
      .filter((zone) => !isInternal(zone.name) && zone.name !== 'mbuf_packet')
      .map(({ name, pages }) => ({ name, pages }));
  }

  pagesInUse(): number {
    return pagesInUse(this.arena);
  }

  largestFreeRun(): number {
    return largestFreeRun(this.uma.cpu);
  }

  /** JavaScript heap of each idle worker after a collection, bytes. */
  heaps(): Promise<number[]> {
    return this.machine.run<undefined, number>('heap', () => undefined);
  }

  /** Ends the workers. Over a broken arena they may fail at it; that is no news. */
  async close(): Promise<void> {
    try {
      await this.machine.shutdown();
    } catch (error) {
      if (!this.broken) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private zonesOf(scenario: Scenario): ZoneStatistics[] {
    const names = [...scenario.zones.map(({ name }) => name), ...(scenario.watched ?? [])];
    return allZoneStatistics(this.uma).filter((zone) => names.includes(zone.name));
  }

  /** All CPUs are parked: fsck, the oracle's books against the zones', drained and fsck again. */
  private judge(results: readonly StressResult[], before: number): Violation[] {
    const violations: Violation[] = [];
    const add = (invariant: string, message: string): void => {
      violations.push({ invariant, cpu: -1, message });
    };
    for (const text of fsck(this.uma).violations) add(text.split(':')[0]!, text);
    const takes = results.reduce((sum, result) => sum + result.takes, 0);
    const gives = results.reduce((sum, result) => sum + result.gives, 0);
    if (takes !== gives) add('5', `5: ${takes} items taken, ${gives} given back`);
    if (violations.length > 0 || results.some((result) => result.violationCount > 0)) {
      // Draining a broken arena panics with locks held; what was found is the report.
      this.broken = true;
      return violations;
    }
    // Drained first: what a secondary zone has cached holds items of the zones below it.
    const pages = this.drainedPages();
    for (const zone of allZoneStatistics(this.uma)) {
      if (isInternal(zone.name) || zone.live === 0) continue;
      add('5', `5: zone ${zone.name}: ${zone.live} items live at the end`);
    }
    for (const text of fsck(this.uma).violations) add(text.split(':')[0]!, `drained: ${text}`);
    if (pages !== before) add('13', `13: ${pages} pages in use after draining, ${before} before`);
    return violations;
  }
}

/** Bucket, slab and item-table zones keep what the last drained buckets themselves occupy. */
function isInternal(name: string): boolean {
  return /^(UMA (Slabs|Items) \d+|\d+ Bucket)$/.test(name);
}
