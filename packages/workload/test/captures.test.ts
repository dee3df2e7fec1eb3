/** The shipped captures, through the oracle and through the modules of src/capture/. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { captureName, openCaptureFile } from '../src/index.ts';
import { BufferPipeline } from './buffer-pipeline.ts';
import { referenceFacts } from './reference-pipeline.ts';

const folder = new URL('../../../test/captures/', import.meta.url);
const captures = readdirSync(folder).filter((name) => /\.pcap(ng)?$/.test(name));

function slicesOf(size: number) {
  return (frame: Uint8Array) => {
    const slices: Uint8Array[] = [];
    for (let at = 0; at < frame.length; at += size) slices.push(frame.subarray(at, at + size));
    return slices;
  };
}

test('there are captures', () => {
  expect(captures.length).toBeGreaterThanOrEqual(3);
});

describe.each(captures)('%s', (name) => {
  const path = new URL(name, folder).pathname;
  const facts = JSON.parse(readFileSync(path.replace(/\.pcap(ng)?$/, '.facts.json'), 'utf8'));

  test('the reference pipeline finds its facts', () => {
    expect(referenceFacts(name, readFileSync(path))).toEqual(facts);
  });

  test.each([65536, 512, 7])('the modules find its facts in slices of %i bytes', (size) => {
    const pipeline = new BufferPipeline(slicesOf(size));
    const cursor = openCaptureFile(path);
    expect(pipeline.run(captureName(path), cursor)).toEqual(facts);
    expect(pipeline.chains.live).toBe(0);
    expect(pipeline.part.unparsed).toBe(0);
    expect(cursor.truncated).toBeNull();
    if (size === 7) expect(pipeline.pullups).toBeGreaterThan(pipeline.linkTypes.length);
  });
});
