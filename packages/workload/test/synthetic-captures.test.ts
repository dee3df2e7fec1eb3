/**
 * Synthetic captures: the reader finds every packet that was written, and the modules over
 * Buffers find the facts that the oracle finds, however frames are cut into slices and even where
 * memory runs out now and then.
 *
 * UMBUF_SEEDS=first-last runs other seeds, for a longer campaign.
 */

import { describe, expect, test } from 'vitest';
import { openCapture, readPackets } from '../src/index.ts';
import { BufferPipeline } from './buffer-pipeline.ts';
import { Random } from './random.ts';
import { referenceFacts } from './reference-pipeline.ts';
import { synthesizeCapture } from './synthesize.ts';

const [first = 1, last = 300] = (process.env['UMBUF_SEEDS'] ?? '1-300').split('-').map(Number);
const seeds = Array.from({ length: last - first + 1 }, (_, index) => first + index);

function randomSlices(seed: number) {
  const random = new Random(seed);
  return (frame: Uint8Array) => {
    const slices: Uint8Array[] = [];
    for (let at = 0; at < frame.length; ) {
      const end = Math.min(frame.length, at + random.between(1, random.pick([1, 30, 2048])));
      slices.push(frame.subarray(at, end));
      at = end;
    }
    return slices;
  };
}

describe(`synthetic captures of seeds ${first} to ${last}`, () => {
  test('the reader finds the packets that were written, and a last record that is cut off', () => {
    for (const seed of seeds) {
      const { file, bytes, packets, interfaces, truncatedAt } = synthesizeCapture(seed);
      const cursor = openCapture(file, bytes);
      const found = readPackets(cursor).map((packet) => ({
        linkType: packet.linkType,
        captured: bytes
          .subarray(packet.dataOffset, packet.dataOffset + packet.capturedLength)
          .toString('latin1'),
        originalLength: packet.originalLength,
        recordOffset: packet.recordOffset,
      }));
      const written = packets.map((packet) => ({
        ...packet,
        captured: packet.captured.toString('latin1'),
      }));
      expect(found, `seed ${seed}`).toEqual(written);
      expect(cursor.truncated?.offset ?? null, `seed ${seed}`).toBe(truncatedAt);
      expect(cursor.interfaces, `seed ${seed}`).toEqual(interfaces);
    }
  });

  test('the modules find the facts that the oracle finds, and free every chain', () => {
    for (const seed of seeds) {
      const { file, bytes } = synthesizeCapture(seed);
      const pipeline = new BufferPipeline(randomSlices(seed));
      const refusals = new Random(~seed);
      if (seed % 2 === 0) pipeline.chains.refuses = () => refusals.oneIn(4);
      const facts = pipeline.run(file, openCapture(file, bytes));
      expect(facts, `seed ${seed}`).toEqual(referenceFacts(file, bytes));
      expect(pipeline.chains.live, `seed ${seed}`).toBe(0);
    }
  });

  test('the seeds together reach every count, irregularity and file variant', () => {
    const totals = new Map<string, number>();
    const add = (what: string, count: number) => totals.set(what, (totals.get(what) ?? 0) + count);
    for (const seed of seeds.slice(0, 200)) {
      const { file, bytes, truncatedAt } = synthesizeCapture(seed);
      const pipeline = new BufferPipeline(randomSlices(seed));
      const facts = pipeline.run(file, openCapture(file, bytes));
      for (const [key, value] of Object.entries(facts)) {
        if (typeof value === 'number') add(key, value);
        else if (Array.isArray(value)) add(key, value.length);
      }
      for (const name of facts.link.split(', ')) if (name !== '') add(name, 1);
      add('cut off', truncatedAt === null ? 0 : 1);
      add('unparsed', pipeline.part.unparsed);
      add('takes', pipeline.chains.takes);
      add('pull-ups', pipeline.pullups);
      for (const { server } of facts['tcp.streams']) add(server.startsWith('[') ? 'v6' : 'v4', 1);
    }
    for (const [what, count] of totals) expect(count, what).toBeGreaterThan(0);
    // 21 counts, 3 lists, 9 names of link types, 4 of what pipelines report, 2 IP versions.
    expect(totals.size).toBe(39);
  });
});
