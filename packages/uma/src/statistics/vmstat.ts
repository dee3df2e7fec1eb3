/**
 * `vmstat -z` (spec 5.4): the zones of a `vm.zone_stats` stream as text, to the last blank, and as
 * the structured output of libxo. Pure functions.
 */

import { decodeZoneStats, type MemoryType, memoryTypes } from './memstat.ts';
import { encodeZoneStats } from './zone-stats.ts';
import type { UmaView } from './view.ts';

/** The zones as vmstat sees them: through the stream, in libmemstat's order. */
export function readMemoryTypes(view: UmaView): MemoryType[] {
  return memoryTypes(decodeZoneStats(encodeZoneStats(view)));
}

const HEAD: readonly (readonly [name: string, width: number])[] = [
  ['SIZE', 7],
  ['LIMIT', 7],
  ['USED', 8],
  ['FREE', 8],
  ['REQ', 8],
  ['FAIL', 4],
  ['SLEEP', 4],
  ['XDOM', 4],
];
/** Columns that the name, its colon and the size fill together. */
const NAME_AND_SIZE = 27;

/** The table with its head; each line ends with a newline. */
export function formatVmstatZ(types: readonly MemoryType[]): string {
  const head = HEAD.map(([name, width]) => ` ${name.padStart(width)}`).join('');
  return [`ITEM${' '.repeat(15)}${head}`, ...types.map(row), ''].join('\n');
}

function row(type: MemoryType): string {
  const { name, size, limit, count, free, numAllocs, failures, sleeps, xdomain } = type;
  // printf counts bytes.
  const width = Math.max(1, NAME_AND_SIZE - 1 - new TextEncoder().encode(name).length);
  const columns = [
    `${name}:${String(size).padStart(width)}`,
    String(limit).padStart(7),
    ...[count, free, numAllocs].map((value) => String(value).padStart(8)),
    ...[failures, sleeps, xdomain].map((value) => String(value).padStart(4)),
  ];
  return columns.join(',');
}

/** One zone of the structured output. Counts beyond 2^53 lose their last digits, as in any JSON. */
export interface VmstatZone {
  readonly name: string;
  readonly size: number;
  readonly limit: number;
  readonly used: number;
  readonly free: number;
  readonly requests: number;
  readonly fail: number;
  readonly sleep: number;
  readonly xdomain: number;
}

export interface VmstatZ {
  readonly 'memory-zone-statistics': { readonly zone: readonly VmstatZone[] };
}

/** The structured output: container `memory-zone-statistics`, list `zone`. */
export function vmstatZ(types: readonly MemoryType[]): VmstatZ {
  const zone = types.map((type) => ({
    name: type.name,
    size: type.size,
    limit: type.limit,
    used: Number(type.count),
    free: Number(type.free),
    requests: Number(type.numAllocs),
    fail: Number(type.failures),
    sleep: Number(type.sleeps),
    xdomain: Number(type.xdomain),
  }));
  return { 'memory-zone-statistics': { zone } };
}
