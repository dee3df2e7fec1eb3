/**
 * `umbuf soak`: the longer campaign. Round after round every scenario runs on the same workers
 * and the same arena; after each round everything is given back and drained, and the pages of each
 * keg, the JavaScript heap after a collection and the largest free run of pages must be those of
 * the first round.
 */

import { scenarioNames, StressSession } from '@umbuf/workload';
import { choice, integer, parse } from '../arguments.ts';
import type { Command } from '../command.ts';
import { bad, good, LiveLine, short, table } from '../screen.ts';

const help = `umbuf soak [--minutes N] [--cpus N] [--seed N] [--level LEVEL]

Runs every scenario in turn, a minute per round (10 rounds with 4 CPUs under invariants when
absent), and compares memory after each round with the first.
`;

/** The heap may differ by this much: compiled code and the engine's tables come and go. */
const HEAP_SLACK = 1 << 20;

interface Round {
  readonly minute: number;
  readonly operations: number;
  readonly pages: number;
  readonly kegs: string;
  readonly largestRun: number;
  /** Largest of the workers' heaps. */
  readonly heap: number;
}

async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args, {
    minutes: { type: 'string' },
    cpus: { type: 'string' },
    seed: { type: 'string' },
    level: { type: 'string' },
  });
  const minutes = integer(parsed, 'minutes', 10, 1, 24 * 60);
  const cpus = integer(parsed, 'cpus', 4, 1, 64);
  const seed = integer(parsed, 'seed', (Math.random() * 2 ** 31) | 0, 0, 2 ** 31 - 1);
  const level = choice(parsed, 'level', 'invariants', ['none', 'checks', 'invariants']);
  process.stdout.write(`soak: ${minutes} minutes, ${cpus} CPUs, level ${level}, seed ${seed}\n`);
  await using session = await StressSession.open({ scenarios: scenarioNames, cpus, level });
  const rounds: Round[] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    const round = await runRound(session, minute, seed);
    if (round === undefined) return 1;
    rounds.push(round);
  }
  return verdict(rounds);
}

/** Every scenario for its share of a minute; undefined after a violation, which was printed. */
async function runRound(
  session: StressSession,
  minute: number,
  seed: number,
): Promise<Round | undefined> {
  const live = new LiveLine();
  const seconds = 60 / scenarioNames.length;
  let operations = 0;
  for (const scenario of scenarioNames) {
    const outcome = await session.run({
      scenario,
      seconds,
      seed: (seed + minute) & 0x7fffffff,
      onProgress: ({ rates, live: items, pages }) =>
        live.show(
          `minute ${minute} ${scenario}  ${rates.map((rate) => `${short(rate)}/s`).join(' ')}  live ${items}  pages ${pages}`,
        ),
    });
    live.end();
    for (const { invariant, message } of outcome.violations) {
      process.stdout.write(`${bad('FAILED')} ${scenario}: invariant ${invariant}: ${message}\n`);
    }
    if (outcome.violations.length > 0) return undefined;
    for (const result of outcome.results) operations += result.operations;
  }
  const pages = session.drainedPages();
  const kegs = session
    .zonePages()
    .map((zone) => `${zone.name}=${zone.pages}`)
    .join(' ');
  const largestRun = session.largestFreeRun();
  const heap = Math.max(...(await session.heaps()));
  const round = { minute, operations, pages, kegs, largestRun, heap };
  process.stdout.write(
    `minute ${minute}: ${short(operations)} operations, ${pages} pages in kegs, ` +
      `largest free run ${largestRun} pages, heap ${(heap / 2 ** 20).toFixed(1)} MiB\n`,
  );
  return round;
}

/** Compares the last round with the first. */
function verdict(rounds: readonly Round[]): number {
  const first = rounds[0]!;
  const last = rounds.at(-1)!;
  const rows = [
    ['pages in kegs', first.pages, last.pages, first.kegs === last.kegs],
    ['largest free run', first.largestRun, last.largestRun, first.largestRun === last.largestRun],
    ['heap bytes', first.heap, last.heap, last.heap <= first.heap + HEAP_SLACK],
  ] as const;
  process.stdout.write(
    table(
      ['', `MINUTE ${first.minute}`, `MINUTE ${last.minute}`, 'EQUAL'],
      rows.map(([name, before, after, equal]) => [
        name,
        String(before),
        String(after),
        equal ? 'yes' : 'NO',
      ]),
    ),
  );
  const ok = rows.every(([, , , equal]) => equal);
  process.stdout.write(ok ? `${good('ok')}\n` : `${bad('FAILED')}: memory changed\n`);
  return ok ? 0 : 1;
}

export const command: Command = { help, run };
