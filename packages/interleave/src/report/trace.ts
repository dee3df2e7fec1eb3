/**
 * A recorded run: every access with its CPU, site, word and values, for the reports and for the
 * comparison of a replay. Recording re-runs one schedule, so that searching costs nothing.
 */
import type { Race } from '../oracle/race.ts';
import type { HistoryEntry } from '../runtime/cpu.ts';
import type { Machine } from '../runtime/machine.ts';
import { host } from '../runtime/ops.ts';
import type { Outcome } from '../runtime/program.ts';
import { KIND_NAMES, type LocatedSite, type Op, WAKE } from '../runtime/protocol.ts';
import type { Judge } from '../search/portfolio.ts';
import { format } from '../search/schedule.ts';
import { replay } from '../search/shrink.ts';

/** One access (or death) of a recorded run. */
export interface TraceEvent {
  /** Scheduling step it belongs to, from 1; plain accesses share the step before them. */
  readonly step: number;
  readonly cpu: number;
  readonly kind: string;
  /** `file:line` (or the label of a hand-written op). */
  readonly where: string;
  readonly text: string;
  readonly function: string;
  readonly word: string;
  readonly address: number;
  readonly size: number;
  /** Byte offset in its buffer. */
  readonly offset: number;
  /** The result, unformatted. */
  readonly raw: string;
  readonly old: string;
  readonly now: string;
  readonly result: string;
  /** Rounds of a spin loop that this event stands for. */
  repeats: number;
}

/** A run in full. */
export interface Trace {
  readonly cpus: readonly string[];
  readonly events: TraceEvent[];
  readonly outcome: Outcome | null;
  readonly schedule: string;
  readonly choices: readonly number[];
  readonly history: readonly HistoryEntry[];
  readonly races: readonly RaceReport[];
  /** The shared buffers at the end. */
  readonly memory: readonly Uint8Array[];
}

/** A race with its two source lines. */
export interface RaceReport {
  readonly word: string;
  readonly mixed: boolean;
  /** An 8-byte plain access may be seen half written. */
  readonly tears: boolean;
  readonly earlier: string;
  readonly later: string;
}

const MODES = ['plain read', 'plain write', 'atomic read', 'atomic write', 'atomic update'];

/** A value as reports print it: integers also in hex when large. */
export function show(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'bigint') {
    return value > 4096n || value < -4096n
      ? `${value}n (0x${BigInt.asUintN(64, value).toString(16)})`
      : `${value}n`;
  }
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) > 0xffff) {
    return `${value} (0x${(value >>> 0).toString(16)})`;
  }
  if (ArrayBuffer.isView(value)) return 'view';
  if (typeof value === 'object' && value !== null) return JSON.stringify(value) ?? 'object';
  return String(value as number | string | boolean | symbol | null);
}

/** `file:line` of a site; its label for a hand-written one. */
export function where(site: LocatedSite): string {
  return site.file === '' ? site.text : `${site.file}:${site.line}`;
}

function located(site: number): LocatedSite {
  return host.sites[site] ?? (host.sites[0] as LocatedSite);
}

/** Runs a schedule once more and records it. */
export function record(machine: Machine, choices: readonly number[], judge: Judge): Trace {
  const events: TraceEvent[] = [];
  const word = (address: number): string => {
    const buffer = address < 0 ? undefined : machine.memory.bufferAt(address);
    if (buffer === undefined) return '';
    return machine.program.words.name(address - buffer.base, buffer.index);
  };
  machine.recorder = {
    access(cpu, op: Op, old, now, result) {
      const site = located(op.site);
      const event: TraceEvent = {
        step: machine.steps,
        cpu,
        kind: op.method === '' || op.kind < WAKE ? (KIND_NAMES[op.kind] as string) : op.method,
        where: where(site),
        text: site.text,
        function: site.function,
        word: word(op.address),
        address: op.address,
        size: op.size,
        offset: op.address - (machine.memory.bufferAt(op.address)?.base ?? 0),
        raw: String(result),
        old: show(old),
        now: show(now),
        result: show(result),
        repeats: 1,
      };
      events.push(event);
    },
    died(cpu, op) {
      const site = located(op.site);
      events.push({
        step: machine.steps,
        cpu,
        kind: 'dies',
        where: where(site),
        text: site.text,
        function: site.function,
        word: '',
        address: -1,
        size: 0,
        offset: -1,
        raw: '',
        old: '',
        now: '',
        result: '',
        repeats: 1,
      });
    },
  };
  try {
    const { outcome, choices: made } = replay(machine, choices, judge);
    const races = outcome?.race === undefined ? [] : [describe(outcome.race, machine, word)];
    return {
      cpus: machine.cpus.map((_, c) => machine.name(c)),
      events,
      outcome,
      schedule: format(made),
      choices: made,
      history: machine.history.map((entry) => ({ ...entry })),
      races,
      memory: machine.memory.buffers.map(({ buffer }) => new Uint8Array(buffer).slice()),
    };
  } finally {
    machine.recorder = null;
  }
}

function describe(race: Race, machine: Machine, word: (address: number) => string): RaceReport {
  const side = ({ cpu, site, mode }: Race['earlier']): string => {
    const at = located(site);
    const inside = at.function === '' ? '' : ` in ${at.function}`;
    return `${machine.name(cpu)}: ${MODES[mode]} at ${where(at)}${inside}  ${at.file === '' ? '' : at.text}`.trimEnd();
  };
  const plain = race.earlier.mode < 2 || race.later.mode < 2;
  return {
    word: word(race.address),
    mixed: race.mixed,
    tears: plain && race.size === 8,
    earlier: side(race.earlier),
    later: side(race.later),
  };
}

/** The events with repetitions of a spin loop by one CPU folded into one. */
export function fold(events: readonly TraceEvent[]): TraceEvent[] {
  const out: TraceEvent[] = [];
  for (const event of events) {
    const last = out.at(-1);
    if (
      last !== undefined &&
      last.cpu === event.cpu &&
      last.where === event.where &&
      last.kind === event.kind &&
      last.address === event.address &&
      last.result === event.result &&
      event.old === event.now
    ) {
      last.repeats++;
      continue;
    }
    out.push({ ...event });
  }
  return out;
}
