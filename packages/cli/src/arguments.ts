/** Options of the command line, over `node:util`'s parser: typed reads with clear errors. */

import { parseArgs, type ParseArgsConfig } from 'node:util';

/** The call's words are off; printed as one line, exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface Parsed {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

/** Parses; unknown options and missing values are a `UsageError`. */
export function parse(
  args: readonly string[],
  options: NonNullable<ParseArgsConfig['options']>,
  allowPositionals: boolean = false,
): Parsed {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals });
    return { values: values as Parsed['values'], positionals };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** An integer option in [least, most], or `fallback` when it was not given. */
export function integer(
  parsed: Parsed,
  name: string,
  fallback: number,
  least: number,
  most: number,
): number {
  const text = parsed.values[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (typeof text !== 'string' || text.trim() === '' || !Number.isInteger(value)) {
    throw new UsageError(`--${name}: ${String(text)} is no integer`);
  }
  if (value < least || value > most) {
    throw new UsageError(`--${name}: ${value} is not from ${least} to ${most}`);
  }
  return value;
}

/** One of a few words. */
export function choice<Word extends string>(
  parsed: Parsed,
  name: string,
  fallback: Word,
  words: readonly Word[],
): Word {
  const text = parsed.values[name];
  if (text === undefined) return fallback;
  if (!words.includes(text as Word)) {
    throw new UsageError(`--${name}: ${String(text)} is none of ${words.join(', ')}`);
  }
  return text as Word;
}
