/**
 * What a replay line says behind the name of its check: a schedule, before it in brackets the part of
 * the scenario that it is of, before that the generated scenario (`check.ops`).
 *
 *     0x5.1x6             of the whole scenario
 *     [0,2/-/1]0x3.1x4    bodies 0 and 2 of its first CPU, none of its second, body 1 of its third;
 *                         CPUs that have none are not counted in the schedule
 *     #17s1[0/0]0x3       the same of scenario 17 that seed 1 generates
 */
import { format, parse } from './schedule.ts';

/** Bodies that are kept, by CPU, as positions in the scenario. */
export type Kept = readonly (readonly number[])[];

export interface Replay {
  /** Of `check.ops`: which of the scenarios of a seed; null: the check's own scenario. */
  readonly generated: { readonly iteration: number; readonly seed: number } | null;
  /** null: all of it. */
  readonly kept: Kept | null;
  readonly choices: readonly number[];
}

/** As text; `parseReplay` reads it. */
export function formatReplay({ generated, kept, choices }: Replay): string {
  const which = generated === null ? '' : `#${generated.iteration}s${generated.seed}`;
  const part = kept === null ? '' : `[${kept.map((bodies) => bodies.join() || '-').join('/')}]`;
  return `${which}${part}${format(choices)}`;
}

/** Throws a SyntaxError that names what it cannot read. */
export function parseReplay(text: string): Replay {
  const match = /^(?:#(\d+)s(-?\d+))?(?:\[([^\]]*)\])?([^#[\]]*)$/.exec(text.trim());
  if (match === null) {
    throw new SyntaxError(
      `interleave: the replay '${text}' is not of the form #17s1[0,2/-]0x5.1x6, the first two optional`,
    );
  }
  const [, iteration, seed, part, schedule] = match;
  return {
    generated:
      iteration === undefined ? null : { iteration: Number(iteration), seed: Number(seed) },
    kept: part === undefined ? null : part.split('/').map((bodies) => positions(bodies, text)),
    choices: parse(schedule ?? ''),
  };
}

function positions(bodies: string, text: string): number[] {
  if (bodies === '-') return [];
  if (!/^\d+(,\d+)*$/.test(bodies)) {
    throw new SyntaxError(`interleave: '${bodies}' in the replay '${text}' (expected 0,2 or -)`);
  }
  return bodies.split(',').map(Number);
}
