/** The layout tables that packages export, and what they must say of each field. */

import { checkLayout, type Layout } from '@umbuf/memory';
import type { Problem } from './sources.ts';

/** The exports of a module that are layout tables, by their names in code and in their order. */
export function layoutTables(module: Readonly<Record<string, unknown>>): Map<string, Layout> {
  const tables = new Map<string, Layout>();
  for (const name of Object.keys(module).toSorted()) {
    const value = module[name];
    if (isLayout(value)) tables.set(name, value);
  }
  return tables;
}

function isLayout(value: unknown): value is Layout {
  if (typeof value !== 'object' || value === null) return false;
  const { name, words, fields } = value as Partial<Layout>;
  return typeof name === 'string' && typeof words === 'number' && typeof fields === 'object';
}

/** The kinds of words that a page names in the first column of a table. */
export function readKinds(markdown: string): string[] {
  return [...markdown.matchAll(/^\| ([a-z-]+) \|/gm)]
    .map((match) => match[1]!)
    .filter((kind) => kind !== 'kind' && !/^-+$/.test(kind));
}

/** Fields without a known kind, a meaning or a place of their own. */
export function layoutProblems(layout: Layout, kinds: readonly string[]): Problem[] {
  const problems: Problem[] = [];
  for (const [name, field] of Object.entries(layout.fields)) {
    const where = `${layout.name}.${name}`;
    if (!kinds.includes(field.kind)) problems.push(`${where}: kind ${field.kind} is none`);
    if (typeof field.what !== 'string' || field.what.trim().length < 3) {
      problems.push(`${where}: no meaning`);
    }
  }
  try {
    checkLayout(layout);
  } catch (error) {
    problems.push((error as Error).message);
  }
  return problems;
}
