/**
 * A recorded run: every access with its CPU, site, word and values, for the reports and for the
 * comparison of a replay. Recording re-runs one schedule, so that searching costs nothing.
 */
import type { Race } from '../oracle/race.ts';
import { equals } from '../runtime/access.ts';
import type { HistoryEntry } from '../runtime/cpu.ts';
import type { Machine } from '../runtime/machine.ts';
import { host } from '../runtime/ops.ts';
import type { Outcome } from '../runtime/program.ts';
import {
  BULK,
  COMPARE_EXCHANGE,
  KIND_NAMES,
  type LocatedSite,
  type Op,
  VIEW_GET,
  VIEW_SET,
} from '../runtime/protocol.ts';
import type { Judge } from '../search/portfolio.ts';
import { format } from '../search/schedule.ts';
import { replay } from '../search/shrink.ts';

/** A word that an access gave another value. */
export interface Change {
  readonly word: string;
  readonly old: string;
  readonly now: string;
}

/** One access (or death) of a recorded run. */
export interface TraceEvent {
  /** Scheduling step it belongs to, from 1; plain accesses share the step before them. */
  readonly step: number;
  readonly cpu: number;
  /** 'load', 'read', 'woken', 'dies' ...; the method of a DataView access or bulk operation. */
  readonly kind: string;
  /** `file:line` (or the label of a hand-written op). */
  readonly where: string;
  /** '' and 0 for a hand-written op. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly function: string;
  /** The word, or the first one of a range; '' for a death. */
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
  /** What a bulk operation changed, element by element. */
  readonly changes: readonly Change[];
  /** A compareExchange that found another value; `expected` is what it had expected. */
  readonly failed: boolean;
  readonly expected: string;
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

/** An event of which nothing is known yet. */
const NOTHING: TraceEvent = {
  step: 0,
  cpu: 0,
  kind: '',
  where: '',
  file: '',
  line: 0,
  text: '',
  function: '',
  word: '',
  address: -1,
  size: 0,
  offset: -1,
  raw: '',
  old: '',
  now: '',
  result: '',
  changes: [],
  failed: false,
  expected: '',
};

function placed(op: Op): Pick<TraceEvent, 'where' | 'file' | 'line' | 'text' | 'function'> {
  const site = located(op.site);
  const { file, line, text } = site;
  return { where: where(site), file, line, text, function: site.function };
}

function nameOf(op: Op): string {
  return KIND_NAMES[op.kind] as string;
}

/** The elements of a bulk operation's receiver that it changed; old and now are copies of it. */
function changed(
  machine: Machine,
  op: Op,
  old: unknown,
  now: unknown,
  word: (address: number) => string,
): Change[] {
  const info = machine.memory.buffers.find(({ buffer }) => buffer === op.target.buffer);
  if (old === undefined || info === undefined) return [];
  const [before, after] = [old, now] as [Int32Array, Int32Array];
  const changes: Change[] = [];
  for (const [i, value] of after.entries()) {
    if (Object.is(value, before[i])) continue;
    const address = info.base + op.target.byteOffset + i * after.BYTES_PER_ELEMENT;
    changes.push({ word: word(address), old: show(before[i]), now: show(value) });
  }
  return changes;
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
      const isBulk = op.kind === BULK;
      const failed = op.kind === COMPARE_EXCHANGE && !equals(old, op.value, op.size);
      events.push({
        ...NOTHING,
        ...placed(op),
        step: machine.steps,
        cpu,
        // A record is used again and again: only these kinds have a method of their own.
        kind: isBulk || op.kind === VIEW_GET || op.kind === VIEW_SET ? op.method : nameOf(op),
        word: word(op.address),
        address: op.address,
        size: op.size,
        offset: op.address - (machine.memory.bufferAt(op.address)?.base ?? 0),
        raw: String(result),
        old: isBulk ? '' : show(old),
        now: isBulk ? '' : show(now),
        result: show(result),
        changes: isBulk ? changed(machine, op, old, now, word) : [],
        failed,
        expected: failed ? show(op.value) : '',
      });
    },
    died(cpu, op) {
      events.push({ ...NOTHING, ...placed(op), step: machine.steps, cpu, kind: 'dies' });
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
