/**
 * Explored code in plain Node, without Vite: `node --import @umbuf/interleave/register`, and
 * `loadExplored`, each in a process of its own on TypeScript sources in a directory of their own.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
let directory = '';

/** Types, an interface and an enum-free class: what Node 20 cannot run by itself. */
const TICKETS = `import type { Words } from './words.ts';
import { bump } from 'counter';

interface Options {
  readonly limit: number;
}

/** Wrong: reads, then writes. */
export class Tickets {
  readonly words: Words;
  readonly limit: number;
  constructor(words: Words, { limit }: Options) {
    this.words = words;
    this.limit = limit;
  }
  take(): number {
    const mine = Atomics.load(this.words, 0);
    if (mine >= this.limit) throw new RangeError(\`no ticket \${mine}\`);
    Atomics.store(this.words, 0, mine + 1);
    return mine;
  }
  count(): void {
    bump(this.words, 1);
  }
}
`;

const FILES: Record<string, string> = {
  'tickets.ts': TICKETS,
  'words.ts': 'export type Words = Int32Array<SharedArrayBuffer>;\n',
  'bad.ts': `export class Bad {
  readonly words: Int32Array<SharedArrayBuffer>;
  constructor(words: Int32Array<SharedArrayBuffer>) {
    this.words = words;
    Atomics.store(words, 0, 1);
  }
}
`,
  'node_modules/counter/package.json':
    '{ "name": "counter", "version": "1.0.0", "type": "module", "exports": "./index.js" }',
  'node_modules/counter/index.js': 'export function bump(words, i) { words[i] = words[i] + 1; }\n',
  'scenario.mjs': `import { check } from '@umbuf/interleave';
export const explored = ({ Tickets }, cpu, limit) => {
  const report = check('tickets', {
    setup: () => new Tickets(new Int32Array(new SharedArrayBuffer(8)), { limit }),
    cpus: { a: cpu, b: cpu },
    final: ({ words }) => Atomics.load(words, 0) === 2,
  }, { budgetMs: 1000 });
  console.log(report.text());
};
`,
  'register.mjs': `import { explored } from './scenario.mjs';
import * as tickets from './tickets.ts?explore';
import * as plain from './words.ts?explore';
explored(tickets, (t) => t.take(), 9);
explored(tickets, (t) => t.take(), 1);
console.log('plain import:', typeof plain);
await import('./mine.check.mjs');
await import('./bad.ts?explore').catch((error) => console.log(String(error)));
`,
  'counts.mjs': `import { explored } from './scenario.mjs';
explored(await import('./tickets.ts?explore'), (t) => t.count(), 9);
`,
  // Explored without the query: its name says so.
  'mine.check.mjs': `import * as tickets from './tickets.ts';
console.log('by its name:', tickets.Tickets.prototype.take.constructor.name);
`,
  'load.mjs': `import { loadExplored } from '@umbuf/interleave/transform';
import { explored } from './scenario.mjs';
const url = (name) => new URL(name, import.meta.url);
const tickets = await loadExplored(url('tickets.ts'), { include: ['counter'] });
explored(tickets, (t) => t.take(), 1);
explored(tickets, (t) => t.count(), 9);
console.log('a generator:', tickets.Tickets.prototype.take.constructor.name);
await loadExplored(url('bad.ts')).catch((error) => console.log(String(error)));
`,
};

beforeAll(() => {
  // Inside test/, from where the package is found by name.
  directory = mkdtempSync(join(here, '../tmp-register-'));
  for (const [name, code] of Object.entries(FILES)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), code);
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function node(args: readonly string[], env: Record<string, string> = {}): string {
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  });
  return stdout + stderr;
}

const registered = (file: string, env?: Record<string, string>): string =>
  node(['--import', '@umbuf/interleave/register', file], env);

/** The line of the TypeScript source with this text. */
function lineOf(text: string): number {
  return TICKETS.split('\n').findIndex((line) => line.includes(text)) + 1;
}

describe('node --import @umbuf/interleave/register', () => {
  test('explores TypeScript, names its lines, and shows what it threw with its stack', () => {
    const output = registered('register.mjs');
    expect(output).toContain('final: tickets');
    expect(output).toMatch(
      new RegExp(`store \\[0\\] 0 -> 1  tickets\\.ts:${lineOf('Atomics.store')}`),
    );
    expect(output).toContain('exception: tickets\nb threw RangeError: no ticket 1');
    expect(output).toMatch(
      new RegExp(`at Tickets\\.take \\(.*tickets\\.ts:${lineOf('throw new')}:\\d+\\)`),
    );
    expect(output).toContain('plain import: object');
    // A file by the name of a check needs no query, nor do its imports.
    expect(output).toContain('by its name: GeneratorFunction');
    // What cannot be suspended is refused: where, the code, and what to do.
    expect(output).toMatch(/bad\.ts:5:5: `Atomics\.store` stands in a constructor/);
    expect(output).toContain('> 5 |     Atomics.store(words, 0, 1);');
    expect(output).toContain('Move it into a plain synchronous function');
    // A view that leaves the exploration is named.
    expect(output).toMatch(/tickets\.ts:\d+:\d+: a shared view is handed to `bump` of counter/);
  });

  test('a package is explored when it is included, and otherwise said to be unseen', () => {
    expect(registered('counts.mjs')).toMatch(/made no step|untransformed|not seen/);
    const seen = registered('counts.mjs', { INTERLEAVE_INCLUDE: 'counter' });
    expect(seen).toContain('race: tickets');
    expect(seen).toMatch(/plain write at .*counter\/index\.js:1 in bump/);
  });
});

test('loadExplored: the same without a flag', () => {
  const output = node(['load.mjs']);
  expect(output).toMatch(
    new RegExp(`at Tickets\\.take \\(.*tickets\\.ts:${lineOf('throw new')}:\\d+\\)`),
  );
  expect(output).toContain('race: tickets');
  expect(output).toContain('a generator: GeneratorFunction');
  expect(output).toMatch(/bad\.ts:5:5: `Atomics\.store` stands in a constructor/);
});
