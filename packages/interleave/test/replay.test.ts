/**
 * Replay lines: of the scenario as it is, of the smallest part of it that fails, of a generated one; and
 * what is said when a line does not fit the code any more.
 */
import { describe, expect, test } from 'vitest';
import { check, op, type Scenario, type Steps } from '../src/index.ts';
import { formatReplay, parseReplay } from '../src/search/replay.ts';

/** What a user pastes, without the name. */
function line(name: string, replay: string | undefined): string {
  expect(replay?.startsWith(`${name}:`)).toBe(true);
  return replay!.slice(name.length + 1);
}

describe('the text', () => {
  test.each(['0x5.1x6', '[0,2/-/1]0x3.1!.0^1', '#17s1[0/0]0x3', '#0s-4[-/1]1x2', ''])(
    '%s is read and written',
    (text) => {
      expect(formatReplay(parseReplay(text))).toBe(text);
    },
  );

  test.each(['[0x3', '0x3]', '[a]0x3', '[0,]0x3', '#17[0]0x3', '#s1', '[0]y', '[0]#1s1 0x3'])(
    '%s is refused',
    (text) => {
      expect(() => parseReplay(text)).toThrow(SyntaxError);
    },
  );
});

/** Bodies of which only `a1` and `c0` race. */
function racy(late: boolean = false): Scenario<Int32Array> {
  const touch = (label: string, at: number) =>
    function* (m: Int32Array): Steps {
      yield op.add(`${label} counts`, m, 8, 1);
      yield op.write(label, m, at, 1);
    };
  return {
    setup: () => new Int32Array(new SharedArrayBuffer(64)),
    words: { 12: 'the word' },
    cpus: {
      a: [touch('a0', 1), touch('a1', 3)],
      b: [touch('b0', 4), touch('b1', 5)],
      c: late
        ? [
            function* (m) {
              // Another order of the same accesses: the line does not fit any more.
              yield op.load('looks', m, 9);
              yield* touch('c0', 3)(m);
            },
          ]
        : [touch('c0', 3)],
    },
  };
}

describe('a minimised failure', () => {
  const report = check('racy', racy(), { budgetMs: 500 });
  const replay = line('racy', report.failure?.replay);

  test('its line names the part of the scenario, and replays it', () => {
    expect(replay).toMatch(/^\[1\/-\/0\]/);
    const again = check('racy', racy(), { replay });
    expect(again.failure?.kind).toBe('race');
    expect(again.notes).toEqual([]);
    expect(again.failure?.trace?.events).toEqual(report.failure?.trace?.events);
    expect(again.failure?.scenario).toBe(report.failure?.scenario);
    expect(line('racy', again.failure?.replay)).toBe(replay);
    // A part is not stored as if it were the whole.
    expect(again.stored).toBe(null);
  });

  test('what is stored is the whole scenario, with the part beside it', () => {
    expect(report.stored?.schedule).not.toContain('[');
    expect(report.stored?.minimised?.replay).toBe(replay);
    const next = check('racy', racy(), { stored: [report.stored!] });
    expect(next.phases[0]?.name).toBe('replay');
    expect(next.failure?.kind).toBe('race');
  });

  test('on changed code its first difference is named: CPU, op, place, word', () => {
    const { notes } = check('racy', racy(true), { replay, stored: [report.stored!] });
    expect(notes.join()).toMatch(
      /^the replay diverges: access \d: expected c add c0 counts \[32\], got c load looks \[36\]$/,
    );
  });

  test('a part that the scenario does not have is refused', () => {
    const run = (text: string) => () => check('racy', racy(), { replay: text });
    expect(run('[5]0x1')).toThrow(
      new RangeError("interleave: CPU 'a' of the replay has no body 5"),
    );
    expect(run('[0/0/0/0]0x1')).toThrow(
      new RangeError('interleave: the replay is of 4 CPUs, the scenario has 3'),
    );
    expect(run('[-]0x1')).toThrow(new RangeError('interleave: the replay keeps nothing'));
    expect(run('#1s1 0x1')).toThrow("interleave: no scenario of 'racy' is generated");
  });
});

describe('a pasted line without a stored run', () => {
  const scenario: Scenario<Int32Array> = {
    setup: () => new Int32Array(new SharedArrayBuffer(64)),
    words: { 0: 'gate' },
    cpus: {
      *waits(m): Steps {
        yield op.wait('sleeps here', m, 0, 0);
        yield op.load('goes on', m, 1);
      },
      *opens(m): Steps {
        yield op.load('first', m, 1);
        yield op.store('opens', m, 0, 1);
        yield op.notify('wakes', m, 0);
      },
    },
  };

  test('the first choice that cannot be made is named, and where its CPU stands', () => {
    const { notes } = check('gate', scenario, { replay: '0x2.1x3' });
    expect(notes).toEqual([
      'the replay diverges: choice 2, waits, cannot be made: its last access is wait gate at sleeps here, step 1',
    ]);
  });

  test('a CPU that is not there is named by its number', () => {
    const { notes } = check('gate', scenario, { replay: '0x1.7x1' });
    expect(notes).toEqual(['the replay diverges: choice 2 is of CPU 7, and there are 2']);
  });

  test('a line that can be followed says nothing', () => {
    expect(check('gate', scenario, { replay: '0x1.1x3.0x2' }).notes).toEqual([]);
  });
});

describe('generated scenarios', () => {
  const spec = {
    setup: () => new Int32Array(new SharedArrayBuffer(64)),
    operations: {
      *safe(m: Int32Array): Steps {
        yield op.add('safe', m, 0, 1);
      },
      *plain(m: Int32Array): Steps {
        yield op.write('plain', m, 1, 1);
      },
    },
  };
  const options = { budgetMs: 1000, iterations: 20, opsPerThread: 2, seed: 5 };

  test('a failure of one of them is replayed by its line alone, whatever the seed is now', () => {
    const report = check.ops('mixed', spec, options);
    expect(report.failure?.kind).toBe('race');
    const replay = line('mixed', report.failure?.replay);
    expect(replay).toMatch(/^#\d+s5\[/);
    const again = check.ops('mixed', spec, { ...options, seed: 1, replay });
    expect(again.failure?.kind).toBe('race');
    expect(again.runs).toBe(1);
    expect(again.failure?.scenario).toBe(report.failure?.scenario);
    expect(line('mixed', again.failure?.replay)).toBe(replay);
  });

  test('a line that names none of them is refused', () => {
    expect(() => check.ops('mixed', spec, { ...options, replay: '0x3' })).toThrow(SyntaxError);
    expect(() => check.ops('mixed', spec, { ...options, replay: '#9999s5 0x3' })).toThrow(
      RangeError,
    );
  });
});
