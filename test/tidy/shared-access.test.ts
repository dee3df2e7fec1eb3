/** Shared words are touched only in plain functions, which the schedule explorer can suspend. */

import { expect, test } from 'vitest';
import { sharedAccessProblems } from './support/shared-access.ts';
import { packageSources } from './support/sources.ts';

test.each(['memory', 'stats', 'tracing', 'uma', 'mbuf'])(
  '%s touches no shared word elsewhere',
  (name) => {
    expect(packageSources(name).flatMap(sharedAccessProblems)).toEqual([]);
  },
);

function problemsOf(text: string): string[] {
  return sharedAccessProblems({ path: 'sample.ts', text });
}

test.each([
  ['class A { constructor(words) { this.a = words[0]; } }', 'a constructor'],
  ['class A { get a() { return this.words[0]; } }', 'an accessor'],
  ['class A { set a(v) { this.cpu.longs[0] = v; } }', 'an accessor'],
  ['const a = { get a() { return Atomics.load(w, 0); } };', 'an accessor'],
  ['async function f(cpu) { cpu.words[0]++; }', 'an async function'],
  ['const f = async () => Atomics.store(view, 0, 1);', 'an async function'],
  ['function* f() { yield bytes[1]; }', 'a generator'],
  ['list.forEach((at) => { words[at] = 0; });', 'a callback of forEach'],
  ['new Promise((done) => done(words[0]));', 'a callback of Promise'],
  ['setTimeout(() => Atomics.load(words, 0), 1);', 'a callback of setTimeout'],
])('%s', (text, place) => {
  expect(problemsOf(text)).toEqual([`sample.ts:1: shared access in ${place}`]);
});

test('plain functions, our own callbacks and other arrays are let through', () => {
  expect(
    problemsOf(`
      function f(words) { words[0] = 1; return Atomics.load(words, 1); }
      class A { m() { return this.words[0]; } constructor(words) { this.words = words; } }
      async function g() { return inJob(() => words[0]); }
      list.map((item) => names[item]);
    `),
  ).toEqual([]);
});
