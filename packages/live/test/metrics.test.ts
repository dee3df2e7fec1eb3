/** The metrics of all layers as OpenMetrics text: the names are an interface, kept in a golden file. */

import { expect, test } from 'vitest';
import { Arena } from '@umbuf/memory';
import { formatOpenMetrics, metricsDocument } from '@umbuf/stats';
import { formatVmstatZ, readMemoryTypes, viewUma } from '@umbuf/uma';
import { parseOpenMetrics } from '../../stats/test/support/open-metrics-parser.ts';
import { collectMetrics } from '../src/index.ts';
import { sampleArena } from './support.ts';

/** Value of one sample. */
function valueOf(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  const samples = parseOpenMetrics(text).flatMap((family) => family.samples);
  const found = samples.filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels.get(label) === value),
  );
  expect(found, `${name} ${JSON.stringify(labels)}`).toHaveLength(1);
  return found[0]!.value;
}

test('the text of a small arena is the golden one, and valid', async () => {
  const text = formatOpenMetrics(collectMetrics(sampleArena().arena));
  parseOpenMetrics(text);
  // Without the allocator's own zones and what depends on how many records it has.
  const own = /(zone|lock)="(UMA |\d+ Bucket|registry|page pool)/;
  const lines = text.split('\n').filter((line) => !own.test(line));
  const stable = lines.map((line) =>
    /^umbuf_(pages|arena_info)/.test(line)
      ? line.replace(/(?<= )\d+$|(?<=layout=")\d+/, '(number)')
      : line,
  );
  await expect(stable.join('\n')).toMatchFileSnapshot('golden/metrics.txt');
});

test('names and help of every metric that there is', async () => {
  const families = collectMetrics(sampleArena({ mbufs: true }).arena);
  const names = families.map(({ name, type, help }) => `${name} ${type}: ${help}\n`);
  expect(families.every(({ name }) => name.startsWith('umbuf_'))).toBe(true);
  await expect(names.join('')).toMatchFileSnapshot('golden/metric-names.txt');
});

test('an arena that nobody has attached to has its own metrics only', () => {
  const text = formatOpenMetrics(collectMetrics(Arena.create({ bytes: 1 << 20, cpus: 2 })));
  expect(parseOpenMetrics(text).map(({ name }) => name)).not.toContain('umbuf_zone_items');
  expect(valueOf(text, 'umbuf_arena_size_bytes', {})).toBe(1 << 20);
});

test('they say what vmstat -z says', () => {
  const { arena } = sampleArena({ mbufs: true });
  const view = viewUma(arena)!;
  const text = formatOpenMetrics(collectMetrics(arena));
  const types = readMemoryTypes(view).filter(({ name }) => /^(session|mbuf)/.test(name));
  expect(types.length, formatVmstatZ(types)).toBeGreaterThan(5);
  for (const { name: zone, count, free, failures, size } of types) {
    const items = (state: string): number => valueOf(text, 'umbuf_zone_items', { zone, state });
    expect(items('used'), zone).toBe(Number(count));
    expect(items('cpu_cache') + items('zone_cache') + items('slab_free'), zone).toBe(Number(free));
    expect(valueOf(text, 'umbuf_zone_item_size_bytes', { zone })).toBe(size);
    const failed = parseOpenMetrics(text)
      .find(({ name }) => name === 'umbuf_zone_failures')!
      .samples.filter(({ labels }) => labels.get('zone') === zone);
    expect(failed.reduce((sum, { value }) => sum + value, 0)).toBe(Number(failures));
  }
  expect(valueOf(text, 'umbuf_zone_failures_total', { zone: 'session', reason: 'limit' })).toBe(1);
});

test('per CPU: who allocated, who freed, who has them', () => {
  const { arena } = sampleArena();
  const text = formatOpenMetrics(collectMetrics(arena));
  const of = (name: string, cpu: string): number => valueOf(text, name, { zone: 'session', cpu });
  expect([of('umbuf_zone_allocs_total', '0'), of('umbuf_zone_frees_total', '0')]).toEqual([40, 0]);
  expect([of('umbuf_zone_allocs_total', '1'), of('umbuf_zone_frees_total', '1')]).toEqual([0, 15]);
  const cached = ['0', '1'].map((cpu) => of('umbuf_zone_cpu_cached_items', cpu));
  expect(cached[0]! + cached[1]!).toBe(
    valueOf(text, 'umbuf_zone_items', { zone: 'session', state: 'cpu_cache' }),
  );
  expect(cached[1]).toBeGreaterThan(0);
});

test('the JSON has the same numbers', () => {
  const families = collectMetrics(sampleArena().arena);
  const { metrics } = metricsDocument(families);
  const parsed = parseOpenMetrics(formatOpenMetrics(families));
  expect(metrics.map(({ name, type }) => [name, type])).toEqual(
    parsed.map(({ name, type }) => [name, type]),
  );
  const items = metrics.find(({ name }) => name === 'umbuf_zone_items')!;
  expect(items.samples).toContainEqual({ labels: { zone: 'session', state: 'used' }, value: 25 });
});
