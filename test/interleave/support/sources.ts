/**
 * Vite plugins in front of the explorer: what they change in sources, in memory only.
 *
 * - `sources`: spins with a bound of 100,000 looks get one of 40: the explorer takes a loop of
 *   thousands of looks for an endless one, and what lies behind the bound (`LockBusyError`) would never
 *   be seen. (mutate/child.mjs does so too.)
 * - `mutated`: the mutant of `UMBUF_MUTANT` (JSON: file, before, after, start), in ordinary modules, for
 *   the unit tests under generated mutants (mutate/generated.mjs).
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

interface Mutant {
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** Where `before` stands. */
  readonly start: number;
}

const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));
const LONG_SPIN = /^(const (?:SPINS_NO_BLOCK|CLAIM_LOOKS|CLAIM_LOOKS_NO_BLOCK)) = 100_000;$/m;

export function mutated(): Plugin {
  const text = process.env['UMBUF_MUTANT'] ?? '';
  const mutant = text === '' ? undefined : (JSON.parse(text) as Mutant);
  return {
    name: 'umbuf:mutated-source',
    enforce: 'pre',
    load(id) {
      if (mutant === undefined || id !== ROOT + mutant.file) return null;
      const { before, after, start, file } = mutant;
      const code = readFileSync(id, 'utf8');
      if (!code.startsWith(before, start)) throw new Error(`mutant: ${file} has changed`);
      return code.slice(0, start) + after + code.slice(start + before.length);
    },
  };
}

export function sources(): Plugin {
  return {
    name: 'umbuf:explored-sources',
    enforce: 'pre',
    load(id) {
      const [file, query] = id.split('?');
      if (query !== 'explore' || !file!.startsWith(`${ROOT}packages/`)) return null;
      return readFileSync(file!, 'utf8').replace(LONG_SPIN, '$1 = 40;');
    },
  };
}
