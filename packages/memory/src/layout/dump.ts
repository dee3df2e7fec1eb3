/**
 * Prints a record of the arena from its layout table, for panics, watchdogs and debugging.
 * Reads every word with `Atomics.load`, so it may be used beside running CPUs: each value is one
 * that was there, but the whole is no snapshot.
 */

import type { Layout } from './layout.ts';

/** Lines of `name value` for the record that starts at word `base`. */
export function dumpRecord(
  words: Int32Array<SharedArrayBuffer>,
  longs: BigInt64Array<SharedArrayBuffer>,
  layout: Layout,
  base: number,
): string {
  const lines: string[] = [`${layout.name} at ${base * 4}`];
  for (const [name, field] of Object.entries(layout.fields)) {
    const values: string[] = [];
    for (let index = 0; index < Math.min(field.count ?? 1, 8); index++) {
      values.push(
        field.type === 'i64'
          ? String(Atomics.load(longs, ((base + field.at) >> 1) + index))
          : String(Atomics.load(words, base + field.at + index)),
      );
    }
    if ((field.count ?? 1) > 8) values.push('...');
    lines.push(`  ${name.padEnd(20)} ${values.join(' ')}`);
  }
  return lines.join('\n');
}
