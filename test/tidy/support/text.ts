/** What every text of the project keeps to: header comments, lengths, no loose ends. */

import type { Problem, Source } from './sources.ts';

/** The longest a source file may be, in lines. */
export const LINES_MAX = 420;
/** The longest a decision may be, in lines. */
export const DECISION_LINES_MAX = 80;

/** A source opens with what it is: a documentation comment (a script's first line may be `#!`). */
export function headerProblems({ path, text }: Source): Problem[] {
  return /^(#!.*\n)?\/\*\*[\s*]*[^\s*/]/.test(text) ? [] : [`${path}:1: no header comment`];
}

/** Lines of a text; the last one need not end. */
export function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

/** Sources over the limit, the longest first; `known` ones may have up to the lines given there. */
export function lengthProblems(
  sources: readonly Source[],
  known: Readonly<Record<string, number>> = {},
): Problem[] {
  return sources
    .map(({ path, text }) => ({ path, lines: lineCount(text) }))
    .filter(({ path, lines }) => lines > (known[path] ?? LINES_MAX))
    .toSorted((a, b) => b.lines - a.lines)
    .map(({ path, lines }) => `${path}:1: ${lines} lines, ${known[path] ?? LINES_MAX} at most`);
}

/** Marks of work left undone, by their pieces, so that this file is not found. */
const LOOSE_ENDS = new RegExp(
  `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`,
);

/** Loose ends. */
export function looseEndProblems(source: Source): Problem[] {
  return matchingLines(source, LOOSE_ENDS, 'loose end');
}

/** Absolute paths of one machine: what such a path leads to is not part of the project. */
const MACHINE_PATH = /(^|[\s'"`(=])\/(work|home|root|Users)\/\w/;

/** Traces of the machine or the tools that a text was written with. */
export function workplaceProblems(source: Source): Problem[] {
  return matchingLines(source, MACHINE_PATH, 'path of one machine');
}

function matchingLines({ path, text }: Source, pattern: RegExp, what: string): Problem[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      pattern.test(line) ? [`${path}:${index + 1}: ${what}: ${line.trim()}`] : [],
    );
}

/** Decisions: `NNNN-name.md`, each number once, titled `# NNNN Title`, short. */
export function decisionProblems(sources: readonly Source[]): Problem[] {
  const problems: Problem[] = [];
  const numbers = new Set<string>();
  for (const { path, text } of sources) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (!/^\d{4}-[a-z0-9-]+\.md$/.test(name)) problems.push(`${path}: not named NNNN-name.md`);
    if (numbers.has(name.slice(0, 4))) problems.push(`${path}: its number is another's`);
    numbers.add(name.slice(0, 4));
    if (!new RegExp(`^# ${name.slice(0, 4)} \\S`).test(text)) {
      problems.push(`${path}:1: not titled # ${name.slice(0, 4)} ...`);
    }
    if (lineCount(text) >= DECISION_LINES_MAX) problems.push(`${path}: ${lineCount(text)} lines`);
  }
  return problems;
}
