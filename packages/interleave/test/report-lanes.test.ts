/**
 * The lanes of a report, as they are printed: each kind of access by its own name and values, bulk
 * operations with what they changed, spin loops folded. The code is written as a user would and
 * transformed.
 */
import { describe, expect, test } from 'vitest';
import { check, type CheckReport } from '../src/index.ts';
import { lanes } from '../src/report/text.ts';
import { compile, evaluate } from './transform-harness.ts';

const WORDS = [
  { byteOffset: 0, name: 'head' },
  { byteOffset: 8, name: 'slots', size: 24 },
];

/** The lanes of the first failing schedule of `a` and `b`; `final` always fails. */
function explored(source: string, replay?: string): CheckReport {
  const { a, b } = evaluate(compile(source).code);
  return check(
    'lanes',
    {
      setup: () => new Int32Array(new SharedArrayBuffer(32)),
      cpus: { a: a as () => void, b: b as () => void },
      final: () => false,
      words: WORDS,
    },
    { race: false, shrink: false, preemptions: 0, ...(replay === undefined ? {} : { replay }) },
  );
}

function printed(report: CheckReport): string[] {
  return lanes(report.failure!.trace!).split('\n');
}

describe('the lanes', () => {
  test('name each access by its kind, also after a bulk operation or a DataView', () => {
    const report = explored(
      `export function a(m) {
  m.fill(7, 2);
  m[1] = 5;
  m[3]++;
  new DataView(m.buffer).setInt16(4, 3, true);
  Atomics.add(m, 0, 1);
  Atomics.wait(m, 0, 1, 10);
  Atomics.store(m, 0, 0);
}
export function b(m) {
  new DataView(m.buffer).getInt16(4, true);
  Atomics.compareExchange(m, 0, 1, 2);
  Atomics.compareExchange(m, 0, 0, 0);
  Atomics.exchange(m, 0, 70000);
  Atomics.notify(m, 0);
  m.copyWithin(1, 2, 3);
  m.slice(0, 2);
}`,
      '0x99.1x99',
    );
    expect(printed(report)).toMatchInlineSnapshot(`
      [
        " step  a                                      | b",
        "    1  fill slots 0 -> 7, 5 more  source.js:2 |",
        "    2  write [4] 0 -> 5  source.js:3          |",
        "    3  read slots+4 = 7  source.js:4          |",
        "    4  write slots+4 7 -> 8  source.js:4      |",
        "    5  setInt16 [4] 5 -> 3  source.js:5       |",
        "    6  add head 0 -> 1  source.js:6           |",
        "    7  wait head (1) sleeps  source.js:7      |",
        "    8  timed out head  source.js:7            |",
        "    9  store head 1 -> 0  source.js:8         |",
        "   10                                         | getInt16 [4] = 3  source.js:11",
        "   11                                         | CAS head fails (0, not 1)  source.js:12",
        "   12                                         | CAS head 0 -> 0  source.js:13",
        "   13                                         | exchange head 0 -> 70000 (0x11170)  source.js:14",
        "   14                                         | notify head wakes 0  source.js:15",
        "   15                                         | copyWithin [4] 3 -> 7  source.js:16",
        "   16                                         | slice head  source.js:17",
      ]
    `);
  });

  test('fold the rounds of a spin loop, of one access and of two', () => {
    const report = explored(
      `export function a(m) {
  for (let i = 0; i < 3; i++) Atomics.load(m, 0);
  for (let i = 0; i < 4; i++) { Atomics.load(m, 1); Atomics.load(m, 2); }
  Atomics.store(m, 0, 0);
}
export function b(m) {
  for (let i = 0; i < 2; i++) Atomics.add(m, 1, 1);
}`,
    );
    expect(printed(report)).toMatchInlineSnapshot(`
      [
        " step  a                              | b",
        "    1  load head = 0 x2  source.js:2  |",
        "    3                                 | add [4] 0 -> 1  source.js:7",
        "    4                                 | add [4] 1 -> 2  source.js:7",
        "    5  load head = 0  source.js:2     |",
        "    6  load [4] = 2  source.js:3      |",
        "    7  load slots = 0  source.js:3    |",
        "       these 2 events 4 times         |",
        "   11  store head 0 -> 0  source.js:4 |",
      ]
    `);
    // Only shown so: the events themselves are all there.
    expect(report.failure!.trace!.events.length).toBe(3 + 8 + 1 + 2);
  });

  test('rounds that another CPU interrupts stay apart', () => {
    const report = explored(
      `export function a(m) { for (let i = 0; i < 4; i++) Atomics.load(m, 0); }
export function b(m) { Atomics.load(m, 1); }`,
      '0x2.1x1.0x2',
    );
    expect(printed(report)).toMatchInlineSnapshot(`
      [
        " step  a                             | b",
        "    1  load head = 0 x2  source.js:1 |",
        "    3                                | load [4] = 0  source.js:2",
        "    4  load head = 0 x2  source.js:1 |",
      ]
    `);
  });
});
