/**
 * A struct: named fields with their places in an item, and the definition of the zone that its items
 * come from. Data only, made once per module; every thread makes the same from the same source, which
 * the zone's fingerprint proves (the layout is part of its `version`).
 *
 * Fields are placed in the order in which they are written, each at the next multiple of its alignment.
 */

import { checkLayout, hashText, type Layout, type WordKind } from '@umbuf/memory';
import { defineZone, type ZoneDefinition } from '../definition.ts';
import { ZoneDefinitionError } from '../errors.ts';
import type { Field } from './field.ts';

/** Fields by name. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The value of a field. */
export type ValueOf<F> = F extends Field<infer Value> ? Value : never;

export interface Struct<F extends Fields = Fields> {
  readonly name: string;
  readonly fields: F;
  /** Byte offset of each field from the start of the item. */
  readonly offsets: Readonly<Record<keyof F, number>>;
  /** Bytes per item: a multiple of the largest alignment. */
  readonly size: number;
  /** For `uma.open`: a zone of the struct's name with an item table. Add callbacks by spreading it. */
  readonly definition: ZoneDefinition;
  /** The layout table of an item, for dumps and for the race detector's names. */
  readonly layout: Layout;
}

/** Names that a typed item has itself. */
const TAKEN = new Set([
  'address',
  'generation',
  'alive',
  'free',
  'handOver',
  'reference',
  'constructor',
]);

/**
 * Makes a struct. `name` is also its zone's: 1 to 63 bytes of UTF-8. Throws `ZoneDefinitionError`
 * naming struct and field for names that a typed item needs itself, and for no fields at all.
 */
export function struct<const F extends Fields>(name: string, fields: F): Struct<F> {
  const names = Object.keys(fields);
  if (names.length === 0) throw new ZoneDefinitionError(`struct ${name}: it has no fields`);
  const offsets: Record<string, number> = {};
  let end = 0;
  let align = 1;
  for (const key of names) {
    if (TAKEN.has(key)) {
      throw new ZoneDefinitionError(`struct ${name}: ${key} is a name of every typed item`);
    }
    const field = fields[key]!;
    end = roundUp(end, field.align);
    offsets[key] = end;
    end += field.size;
    align = Math.max(align, field.align);
  }
  const size = roundUp(end, Math.max(align, 4));
  const definition = defineZone({ name, size, version: version(fields), holders: true });
  const layout = layoutOf(name, size, fields, offsets);
  checkLayout(layout);
  return Object.freeze({
    name,
    fields,
    offsets: offsets as Record<keyof F, number>,
    size,
    definition,
    layout,
  });
}

/** A number that changes with names, order, formats and kinds of the fields. */
function version(fields: Fields): number {
  const data = JSON.stringify(
    Object.entries(fields).map(([key, { format, size, atomic, ownership, target }]) => [
      key,
      format,
      size,
      atomic,
      ownership ?? '',
      target ?? '',
    ]),
  );
  return hashText(data) >>> 1;
}

/** Words with what stands in them; several small fields share one. */
function layoutOf(
  name: string,
  size: number,
  fields: Fields,
  offsets: Readonly<Record<string, number>>,
): Layout {
  const table: Record<string, Layout['fields'][string]> = {};
  let filled = 0;
  for (const [key, field] of Object.entries(fields)) {
    const first = offsets[key]! >> 2;
    const end = (offsets[key]! + field.size + 3) >> 2;
    const at = Math.max(first, filled);
    if (at >= end) continue;
    const long = field.size === 8 && field.align === 8;
    const kind: WordKind = field.atomic ? 'atomic' : 'owned';
    const what = `${field.format}${field.target === undefined ? '' : ` to ${field.target}`}`;
    table[key] = long
      ? { at, type: 'i64', kind, what }
      : { at, type: 'i32', kind, count: end - at, what };
    filled = end;
  }
  return { name, words: size >> 2, fields: table };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
