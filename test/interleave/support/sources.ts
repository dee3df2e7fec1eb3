/**
 * A Vite plugin in front of the explorer: what it changes in an explored source, in memory only.
 *
 * - Spins with a bound of 100,000 looks get one of 40: the explorer takes a loop of thousands of
 *   looks for an endless one, and what lies behind the bound (`LockBusyError`) would never be seen.
 * - The mutant of `UMBUF_MUTANT` (JSON: file, before, after), for mutants.mjs. It throws when its
 *   line is not in the file exactly once, so that a table that has grown old cannot pass.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

interface Mutant {
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** Where `before` stands; generated mutants know (mutate/operators.mjs). */
  readonly start?: number;
}

const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));
const LONG_SPIN = /^(const (?:SPINS_NO_BLOCK|CLAIM_LOOKS|CLAIM_LOOKS_NO_BLOCK)) = 100_000;$/m;

/** The mutant alone, in ordinary modules: for the unit tests under generated mutants. */
export function mutated(): Plugin {
  const mutant = wanted();
  return {
    name: 'umbuf:mutated-source',
    enforce: 'pre',
    load(id) {
      if (mutant === undefined || id !== ROOT + mutant.file) return null;
      return mutate(readFileSync(id, 'utf8'), mutant);
    },
  };
}

function wanted(): Mutant | undefined {
  const text = process.env['UMBUF_MUTANT'];
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as Mutant);
}

function mutate(code: string, { before, after, start }: Mutant): string {
  if (start !== undefined) return code.slice(0, start) + after + code.slice(start + before.length);
  const parts = code.split(before);
  if (parts.length !== 2) throw new Error(`mutant: ${parts.length - 1} occurrences of ${before}`);
  return parts.join(after);
}

export function sources(): Plugin {
  const mutant = wanted();
  return {
    name: 'umbuf:explored-sources',
    enforce: 'pre',
    load(id) {
      const [file, query] = id.split('?');
      if (query !== 'explore' || !file!.startsWith(`${ROOT}packages/`)) return null;
      const code = readFileSync(file!, 'utf8');
      const changed = mutant?.file === file!.slice(ROOT.length) ? mutate(code, mutant) : code;
      return changed.replace(LONG_SPIN, '$1 = 40;');
    },
  };
}
