/** Layout tables: what checkLayout refuses, lookups, and the dump of a record. */
import { describe, expect, test } from 'vitest';
import {
  Arena,
  ArenaHeader,
  checkLayout,
  CpuRecord,
  dumpRecord,
  type Field,
  fieldAt,
  fieldWords,
  type Layout,
  MutexRecord,
  PageEntry,
  PagePool,
  Panic,
} from '../src/index.ts';

function table(fields: Record<string, Omit<Field, 'kind' | 'what'>>, words = 8): Layout {
  const entries = Object.entries(fields).map(
    ([name, field]) => [name, { ...field, kind: 'locked', what: name }] as const,
  );
  return { name: 'broken', words, fields: Object.fromEntries(entries) };
}

describe('checkLayout', () => {
  test.each([
    [
      'two fields at one word',
      { a: { at: 1, type: 'i32' }, b: { at: 1, type: 'i32' } },
      /b overlaps a at word 1/,
    ],
    [
      'an array running into the next field',
      { a: { at: 0, type: 'i32', count: 3 }, b: { at: 2, type: 'i32' } },
      /overlaps/,
    ],
    [
      'the high half of a 64-bit field',
      { a: { at: 2, type: 'i64' }, b: { at: 3, type: 'i32' } },
      /b overlaps a at word 3/,
    ],
    ['a 64-bit field at an odd word', { a: { at: 3, type: 'i64' } }, /a at odd word 3/],
    ['a field behind the record', { a: { at: 7, type: 'i32', count: 2 } }, /a leaves the record/],
    ['a field before the record', { a: { at: -1, type: 'i32' } }, /a leaves the record/],
  ] as const)('refuses %s', (_what, fields, message) => {
    expect(() => checkLayout(table(fields))).toThrow(message);
    expect(() => checkLayout(table(fields))).toThrow(Panic);
  });

  test.each([ArenaHeader, CpuRecord, MutexRecord, PageEntry, PagePool])(
    'accepts the record $name',
    (layout) => expect(() => checkLayout(layout)).not.toThrow(),
  );

  test('accepts neighbours and padding', () => {
    checkLayout(
      table({ a: { at: 0, type: 'i32', count: 2 }, b: { at: 2, type: 'i64', count: 3 } }),
    );
  });
});

test('what others write and what only the thread writes stand 128 bytes apart in a CPU record', () => {
  const words = Object.entries(CpuRecord.fields).map(([, field]) => field as Field);
  for (const field of words) {
    expect(field.kind === 'thread-private', field.what).toBe(field.at >= 32);
  }
  expect(CpuRecord.words % 32).toBe(0);
});

test('fieldAt finds the field that covers a word, and nothing in the padding', () => {
  expect(fieldAt(MutexRecord, 5)?.name).toBe('operations');
  expect(fieldAt(CpuRecord, 36 + 207)?.name).toBe('hand');
  expect(fieldAt(CpuRecord, 3)).toBeUndefined();
  expect(fieldWords({ at: 0, type: 'i64', kind: 'locked', count: 3, what: '' })).toBe(6);
});

test('dumpRecord prints each field of a record with its value, long arrays cut', () => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 3, backing: 'shared-array-buffer' });
  const dump = dumpRecord(arena.words, arena.longs, ArenaHeader, 0).split('\n');
  expect(dump[0]).toBe('arena header at 0');
  expect(dump).toContain('  cpus                 3');
  expect(dump).toContain(`  pages                256`);
  expect(dump.find((line) => line.includes('roots'))).toMatch(/0 0 0 0 0 0 0 0 \.\.\.$/);
});
