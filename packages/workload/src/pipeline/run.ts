/**
 * Runs captures through the pipeline on real workers: boots the machine, and for each capture
 * makes the control block new, runs the task on every CPU, merges what they found, and checks that
 * no mbuf is left over and every invariant holds.
 */

import { statSync } from 'node:fs';
import { Arena, ARENA_BYTES_MAX } from '@umbuf/memory';
import { checkMbufs, Mbufs, type PresetName } from '@umbuf/mbuf';
import { Machine, TaskError } from '@umbuf/smp';
import { allZoneStatistics, fsck, Uma, type ZoneStatistics } from '@umbuf/uma';
import { CaptureError } from '../capture/capture-error.ts';
import { captureName } from '../capture/capture-file.ts';
import { type CaptureFacts, mergeFacts } from '../capture/facts.ts';
import { createPipelineControl, type PipelineControl, resetPipelineControl } from './control.ts';
import { PipelineError } from './errors.ts';
import { placeRoles, protocolCount } from './placement.ts';
import type { PipelineArgument, PipelineCpuResult } from './task.ts';

export interface PipelineOptions {
  /** Worker threads, 1 to 64; see placement.ts for who does what. */
  readonly cpus: number;
  readonly level: 'none' | 'checks' | 'invariants';
  readonly preset: PresetName;
  /** Size of the arena; sized by the largest file when absent. */
  readonly arenaBytes?: number;
  /** How long a CPU waits for memory, milliseconds; 5000 when absent. */
  readonly memoryMs?: number;
  /** How long a CPU waits for another, milliseconds; 30000 when absent. */
  readonly stallMs?: number;
}

/** What is to say about one capture. */
export interface CaptureReport {
  readonly facts: CaptureFacts;
  readonly seconds: number;
  /** Frames that could not be parsed as far as they claim to go. */
  readonly unparsed: number;
  /** Where the last record begins, if the end of the file cuts it off. */
  readonly truncatedAt: number | null;
  readonly pullups: number;
  /** Completed datagrams that went to another protocol CPU; datagrams that never were complete. */
  readonly handedOver: number;
  readonly incomplete: number;
  /** Shared copies that the tap verified, and the most that it held at once. */
  readonly copies: number;
  readonly held: number;
  /** The mbuf zones at the end, with all their counters since the machine booted. */
  readonly zones: readonly ZoneStatistics[];
}

const TASK = new URL('./task.js', import.meta.url);
const MIB = 1 << 20;
const MEMORY_MS = 5_000;
const STALL_MS = 30_000;
/** Arena bytes per byte of a file: a frame of 169 bytes needs an mbuf and a cluster, 2304. */
const BYTES_PER_FILE_BYTE = 16;

export class CapturePipeline {
  /** The mbufs of the arena as the main thread's CPU sees them. */
  readonly mbufs: Mbufs;
  readonly #machine: Machine;
  readonly #control: PipelineControl;
  readonly #options: PipelineOptions;

  private constructor(machine: Machine, mbufs: Mbufs, options: PipelineOptions) {
    this.mbufs = mbufs;
    this.#machine = machine;
    this.#options = options;
    this.#control = createPipelineControl(mbufs.cpu, protocolCount(options.cpus));
  }

  /** Boots the machine, with an arena large enough for the largest of the files. */
  static async boot(files: readonly string[], options: PipelineOptions): Promise<CapturePipeline> {
    const { cpus, level, preset } = options;
    const bytes = options.arenaBytes ?? arenaBytes(files, cpus);
    const arena = Arena.create({ bytes, cpus: cpus + 1, level });
    const machine = await Machine.boot({
      arena,
      cpus,
      tasks: [TASK],
      onAttach: (cpu) => void Mbufs.attach(Uma.attach(cpu), { preset }),
    });
    try {
      return new CapturePipeline(machine, Mbufs.attach(Uma.attach(machine.cpu!)), options);
    } catch (error) {
      await machine.shutdown();
      throw error;
    }
  }

  /**
   * Moves all frames of the capture at `path` through. Errors name it as `file`.
   * @throws CaptureError where the file or a record of it cannot be right; the pipeline can go on.
   * @throws PipelineError where it could not finish, or something was left over; shut it down.
   */
  async run(path: string, file: string = path): Promise<CaptureReport> {
    resetPipelineControl(this.mbufs.words, this.#control);
    const from = performance.now();
    const results = await this.#runTasks(path, file);
    const seconds = (performance.now() - from) / 1000;
    const driver = results.find((result) => result.driver !== undefined)!.driver!;
    const protocols = results.flatMap((result) => result.protocol ?? []);
    const tap = results.find((result) => result.tap !== undefined)!.tap!;
    this.#check(file);
    if (driver.failure !== null) throw captureError(file, path, driver.failure);
    const parts = protocols.map((protocol) => protocol.part);
    const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
    return {
      facts: mergeFacts(captureName(path), driver.linkTypes, parts),
      seconds,
      unparsed: sum(parts.map((part) => part.unparsed)),
      truncatedAt: driver.truncatedAt,
      pullups: sum(protocols.map(({ pullups }) => pullups)),
      handedOver: sum(protocols.map(({ handedOver }) => handedOver)),
      incomplete: sum(protocols.map(({ incomplete }) => incomplete)),
      copies: tap.copies,
      held: tap.held,
      zones: allZoneStatistics(this.mbufs.uma).filter(({ name }) => name.startsWith('mbuf')),
    };
  }

  /** Ends the workers. */
  shutdown(): Promise<void> {
    return this.#machine.shutdown();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #runTasks(path: string, file: string): Promise<PipelineCpuResult[]> {
    const { cpus, memoryMs = MEMORY_MS, stallMs = STALL_MS } = this.#options;
    const roles = placeRoles(cpus);
    const settled = await this.#machine.runSettled<PipelineArgument, PipelineCpuResult>(
      'pipeline',
      (index) => ({
        roles: roles[index]!,
        control: this.#control,
        patience: { memoryMs, stallMs },
        path,
      }),
    );
    for (const outcome of settled) {
      if (outcome.status === 'rejected') throw taskError(file, outcome.reason);
    }
    return settled.map((outcome) => (outcome as PromiseFulfilledResult<PipelineCpuResult>).value);
  }

  /** All CPUs are parked: no mbuf may be left, and every invariant holds. */
  #check(file: string): void {
    const violations = [...checkMbufs(this.mbufs, []), ...fsck(this.mbufs.uma).violations];
    if (violations.length === 0) return;
    throw new PipelineError(`${file}: after the last frame: ${violations.join('; ')}`);
  }
}

/** Room for every frame of the largest file at once, as far as an arena can be that large. */
function arenaBytes(files: readonly string[], cpus: number): number {
  const sizes = files.map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  const bytes = (48 + 4 * cpus) * MIB + Math.max(0, ...sizes) * BYTES_PER_FILE_BYTE;
  return Math.min(bytes, ARENA_BYTES_MAX);
}

/** The driver knows the file by its path; the user by the name that he gave. */
function captureError(
  file: string,
  path: string,
  failure: { readonly offset: number; readonly message: string },
): CaptureError {
  const prefix = `${path}: at byte ${failure.offset}: `;
  return new CaptureError(file, failure.offset, failure.message.slice(prefix.length));
}

/** What a role threw, as it was named there; other failures of the machine as they are. */
function taskError(file: string, reason: unknown): unknown {
  if (!(reason instanceof TaskError) || !(reason.cause instanceof Error)) return reason;
  if (reason.cause.name !== 'PipelineError') return reason;
  return new PipelineError(`${file}: ${reason.cause.message}`, { cause: reason });
}
