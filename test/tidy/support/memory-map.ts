/** Writes the page of the memory map from the layout tables. */

import { type Field, fieldWords, type Layout } from '@umbuf/memory';

const HEAD = `# Memory map

Every record of the arena, from the layout tables of the packages. Written by
\`vitest run --project cpus test/tidy/memory-map.test.ts -u\`; a test keeps it current. Offsets are
in words of four bytes from the start of the record; the kinds are those of [words.md](words.md).
`;

/** The page for the tables of each package, in the order given. */
export function memoryMap(packages: ReadonlyMap<string, ReadonlyMap<string, Layout>>): string {
  const parts: string[] = [HEAD];
  for (const [name, tables] of packages) {
    parts.push(`## ${name}\n`);
    for (const [code, layout] of tables) parts.push(record(code, layout));
  }
  return parts.join('\n');
}

function record(code: string, layout: Layout): string {
  const { name, words, fields } = layout;
  const sorted = Object.entries(fields).toSorted(([, a], [, b]) => a.at - b.at);
  const rows = sorted.map(([field, description]) => row(field, description));
  return [
    `### ${name} (\`${code}\`, ${words} words)\n`,
    '| words | field | width | kind | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function row(name: string, field: Field): string {
  const last = field.at + fieldWords(field) - 1;
  const place = last === field.at ? `${field.at}` : `${field.at}-${last}`;
  const width = field.count === undefined ? field.type : `${field.type} x ${field.count}`;
  return `| ${place} | ${name} | ${width} | ${field.kind} | ${field.what.replaceAll('|', '\\|')} |`;
}
