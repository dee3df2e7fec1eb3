/**
 * The mbuf system's shared root record: made by the first attach in an arena, under the registry
 * lock, with preset and settings; later attaches adopt them, or are refused if they ask for others.
 * One statistics record per CPU stands behind it; each is written by its CPU only.
 */

import {
  type Address,
  LIMIT_MAX,
  type Cpu,
  enterCpu,
  lockRegistry,
  requireInteger,
  Root,
  STATIC_NEXT,
  staticSpace,
  TableFullError,
  unlockRegistry,
} from '@umbuf/memory';
import { type PresetName, presets } from './constants.ts';
import { PresetMismatchError } from './errors.ts';
import { MbufRoot, MbufStatistics } from './layout.ts';
import { MbufSystem } from './system-layout.ts';

const R = MbufRoot.fields;

/** Limits of the zones, in items; 0 or absent: none. */
export interface ZoneLimits {
  readonly nmbufs?: number;
  readonly nmbclusters?: number;
  readonly nmbjumbop?: number;
  readonly nmbjumbo9?: number;
  readonly nmbjumbo16?: number;
}

export interface MbufOptions {
  /** Sizes, flags and the place of a cluster in `getcl`; `freebsd` when the arena has none yet. */
  readonly preset?: PresetName;
  /** Bytes that link-layer headers need in front of a received packet; 16 when absent. */
  readonly maxLinkhdr?: number;
  /** Bytes that a pullup takes along at least; 60 when absent. */
  readonly maxProtohdr?: number;
  readonly limits?: ZoneLimits;
  /** Counts claims and releases of every mbuf's owner (MBUFTRACE); not when absent. */
  readonly owners?: boolean;
  /** Defects of uipc_mbuf.c 1.191 to reproduce (B1, B5, B9, B10), for its recorded vectors. */
  readonly quirks?: 'none' | 'netbsd-1.191';
}

/** The names of `ZoneLimits`, in the order of the root's words. */
export const LIMIT_NAMES: readonly (keyof ZoneLimits)[] = [
  'nmbufs',
  'nmbclusters',
  'nmbjumbop',
  'nmbjumbo9',
  'nmbjumbo16',
];

const PRESET_NAMES: readonly PresetName[] = ['freebsd', 'netbsd'];

/**
 * Word index of the root record. Makes it when the arena has none; else checks that every option
 * that is given equals it. Throws ArgumentError, PresetMismatchError, or TableFullError when there
 * are no pages for it.
 */
export function openRoot(cpu: Cpu, options: MbufOptions): number {
  const wanted = settings(options);
  const { words } = cpu;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  lockRegistry(cpu);
  let root: number;
  try {
    root = Atomics.load(words, Root.mbuf) >> 2;
    if (root === 0) return createRoot(cpu, wanted) >> 2;
  } finally {
    unlockRegistry(cpu);
  }
  for (const [at, value, name] of wanted) {
    if (value !== undefined && words[root + at] !== value) {
      throw new PresetMismatchError(
        `Mbufs.attach: ${name} is ${words[root + at]} in this arena, not ${value}`,
      );
    }
  }
  return root;
}

/** Preset of a root record. */
export function rootPreset(words: Int32Array, root: number): PresetName {
  return PRESET_NAMES[words[root + R.preset.at]! - 1]!;
}

/** Limits of a root record. */
export function rootLimits(words: Int32Array, root: number): Required<ZoneLimits> {
  const limit = (index: number): number => words[root + R.limits.at + index]!;
  return {
    nmbufs: limit(0),
    nmbclusters: limit(1),
    nmbjumbop: limit(2),
    nmbjumbo9: limit(3),
    nmbjumbo16: limit(4),
  };
}

type Setting = readonly [at: number, value: number | undefined, name: string, standard: number];

/** The root's words that `options` settle; undefined where nothing is asked for. */
function settings(options: MbufOptions): readonly Setting[] {
  const { preset, maxLinkhdr, maxProtohdr, limits = {}, quirks, owners } = options;
  const presetNumber = preset === undefined ? undefined : PRESET_NAMES.indexOf(preset) + 1;
  if (presetNumber === 0) {
    throw new PresetMismatchError(`Mbufs.attach: no preset ${JSON.stringify(preset)}`);
  }
  const room = presets[preset ?? 'freebsd'].mhlen;
  if (maxLinkhdr !== undefined) requireInteger('maxLinkhdr', maxLinkhdr, 0, room);
  if (maxProtohdr !== undefined) requireInteger('maxProtohdr', maxProtohdr, 0, room);
  for (const name of LIMIT_NAMES) {
    // Here, before anything is made: a root with limits that no zone can keep would stay for good.
    requireInteger(name, limits[name] ?? 0, 0, LIMIT_MAX);
  }
  const quirky = quirks === undefined ? undefined : Number(quirks === 'netbsd-1.191');
  return [
    [R.preset.at, presetNumber, 'preset', 1],
    [R.quirks.at, quirky, 'quirks', 0],
    [R.owners.at, owners === undefined ? undefined : Number(owners), 'owners', 0],
    [R.maxLinkhdr.at, maxLinkhdr, 'maxLinkhdr', 16],
    [R.maxProtohdr.at, maxProtohdr, 'maxProtohdr', 60],
    ...LIMIT_NAMES.map((name, index): Setting => [R.limits.at + index, limits[name], name, 0]),
  ];
}

/** Builds the record with the statistics and the system record behind it, and publishes them. Under the registry lock. */
function createRoot(cpu: Cpu, wanted: readonly Setting[]): Address {
  const { words, arena } = cpu;
  const rootBytes = MbufRoot.words * 4;
  const statisticBytes = arena.cpus * MbufStatistics.words * 4;
  const bytes = rootBytes + statisticBytes + MbufSystem.words * 4;
  const address = staticSpace(cpu, bytes);
  if (address === 0) throw new TableFullError('Mbufs.attach: no pages for the root record');
  const root = address >> 2;
  for (const [at, value, , standard] of wanted) words[root + at] = value ?? standard;
  words[root + R.statistics.at] = address + rootBytes;
  words[root + R.system.at] = address + rootBytes + statisticBytes;
  const end = address + bytes;
  // straight: the root exists from the store on; a maker who dies before it leaves nothing
  Atomics.store(words, Root.mbuf, address);
  words[STATIC_NEXT] = end;
  // end
  return address;
}
