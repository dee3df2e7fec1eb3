/** Files that are no capture, records that cannot be right, and ends that are cut off. */

import { describe, expect, test } from 'vitest';
import { CaptureError, openCapture, openCaptureFile, readPackets } from '../src/index.ts';
import { BufferPipeline } from './buffer-pipeline.ts';
import { Random } from './random.ts';
import { synthesizeCapture } from './synthesize.ts';

function words(little: boolean, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, at) => {
    if (little) bytes.writeUInt32LE(value, at * 4);
    else bytes.writeUInt32BE(value, at * 4);
  });
  return bytes;
}

/** The error of reading all packets of the file. */
function errorOf(bytes: Uint8Array): CaptureError {
  try {
    readPackets(openCapture('some.file', bytes));
  } catch (error) {
    if (error instanceof CaptureError) return error;
    throw error;
  }
  throw new Error('no error');
}

describe('what is no capture', () => {
  test.each([
    ['an empty file', Buffer.alloc(0)],
    ['three bytes', Buffer.from([0xd4, 0xc3, 0xb2])],
    ['text', Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n')],
    ['a gzip file', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])],
    ['the modified pcap format', words(true, 0xa1b2cd34, 0x00040002, 0, 0, 65535, 1)],
    ['a pcap header that is cut off', words(true, 0xa1b2c3d4, 0x00040002, 0, 0, 65535)],
    ['pcap version 1', words(true, 0xa1b2c3d4, 0x00040001, 0, 0, 65535, 1)],
    ['pcapng without byte-order magic', words(true, 0x0a0d0d0a, 28, 0, 1, 0, 0, 28)],
    ['pcapng version 2', words(true, 0x0a0d0d0a, 28, 0x1a2b3c4d, 2, 0, 0, 28)],
  ])('%s is an error at byte 0', (_what, bytes) => {
    const error = errorOf(bytes);
    expect(error).toMatchObject({ name: 'CaptureError', file: 'some.file', offset: 0 });
    expect(error.message).toContain('some.file: at byte 0:');
  });

  test('a file that is not there, and a folder, are errors that name them', () => {
    const folder = new URL('.', import.meta.url).pathname;
    for (const path of [folder, `${folder}none.pcap`]) {
      expect(() => openCaptureFile(path)).toThrow(CaptureError);
      expect(() => openCaptureFile(path)).toThrow(path);
    }
  });
});

describe.each([
  ['little-endian', true],
  ['big-endian', false],
])('%s pcap', (_order, little) => {
  const header = (snaplen = 65535) => {
    const version = little ? 0x00040002 : 0x00020004;
    return words(little, 0xa1b2c3d4, version, 0, 0, snaplen, 1);
  };
  const record = (captured: number, original: number, data: number) =>
    Buffer.concat([words(little, 0, 0, captured, original), Buffer.alloc(data)]);
  const good = record(60, 60, 60);

  test.each([
    ['a captured length above the limit', [262145, 262145, 262145], 65535],
    ['a captured length that is negative', [0xffffffff, 0xffffffff, 10], 65535],
    ['a captured length above the limit at the end of the file', [0x7fffffff, 0x7fffffff, 0], 0],
    ['a limit that means "none"', [262145, 262145, 262145], 0xffffffff],
    ['more captured than there was', [61, 60, 61], 65535],
  ])('%s is an error at its record', (_what, [captured, original, data], snaplen) => {
    const bytes = Buffer.concat([header(snaplen), good, record(captured!, original!, data!)]);
    expect(errorOf(bytes).offset).toBe(24 + 76);
  });

  test('a snapshot length above the usual limit raises the limit', () => {
    const bytes = Buffer.concat([header(300_000), record(300_000, 300_000, 300_000)]);
    expect(readPackets(openCapture('x', bytes))).toHaveLength(1);
  });

  test('a record that is cut off anywhere is reported, not counted, and no error', () => {
    const bytes = Buffer.concat([header(), good, good]);
    for (let end = 24 + 76; end < bytes.length; end++) {
      const cursor = openCapture('x', bytes.subarray(0, end));
      expect(readPackets(cursor)).toHaveLength(1);
      expect(cursor.truncated).toEqual(end === 100 ? null : { offset: 100 });
      expect(cursor.next()).toBe(false);
    }
  });
});

describe.each([
  ['little-endian', true],
  ['big-endian', false],
])('%s pcapng', (_order, little) => {
  const block = (type: number, ...body: number[]) => {
    const length = 12 + body.length * 4;
    return words(little, type, length, ...body, length);
  };
  const version = little ? 1 : 0x00010000;
  const section = block(0x0a0d0d0a, 0x1a2b3c4d, version, 0xffffffff, 0xffffffff);
  const ethernet = block(1, little ? 1 : 0x00010000, 0);
  const start = Buffer.concat([section, ethernet]);
  const packet = block(6, 0, 0, 0, 4, 4, 0x01020304);
  const interfaceOne = little ? 1 : 0x00010000;

  test.each([
    ['a packet of an interface that is not there', block(6, 1, 0, 0, 0, 0)],
    ['an obsolete packet of an interface that is not there', block(2, interfaceOne, 0, 0, 0, 0)],
    ['more captured than the block holds', block(6, 0, 0, 0, 5, 5, 0)],
    ['a captured length that is negative', block(6, 0, 0, 0, 0xffffffff, 0xffffffff, 0)],
    ['more captured than there was', block(6, 0, 0, 0, 4, 3, 0)],
    ['a simple packet longer than its block', block(3, 5, 0)],
    ['an enhanced packet block that is too small', block(6, 0, 0, 0, 0)],
    ['an interface block that is too small', block(1, 0)],
    ['a section block that is too small', block(0x0a0d0d0a, 0x1a2b3c4d, version, 0)],
    ['a section without byte-order magic', block(0x0a0d0d0a, 0, version, 0, 0)],
    ['a section of version 2', block(0x0a0d0d0a, 0x1a2b3c4d, version * 2, 0, 0)],
    ['a block length of 0', words(little, 4, 0, 0)],
    ['a block length that is no multiple of 4', words(little, 4, 14, 0, 14)],
    ['a trailing length that differs', words(little, 4, 16, 0, 20)],
    ['an absurd block length', words(little, 4, 0xfffffffc, 0)],
  ])('%s is an error at its block', (_what, bad) => {
    const at = start.length + packet.length;
    expect(errorOf(Buffer.concat([start, packet, bad, packet])).offset).toBe(at);
  });

  test('a simple packet without any interface, and one of a new section, are errors', () => {
    const simple = block(3, 4, 0);
    expect(errorOf(Buffer.concat([section, simple])).offset).toBe(28);
    const bytes = Buffer.concat([start, simple, section, simple]);
    expect(errorOf(bytes).offset).toBe(bytes.length - simple.length);
  });

  test('a custom block of 17 MB that is all there is skipped', () => {
    const length = 17_000_000;
    const body = Buffer.alloc(length - 12);
    const custom = Buffer.concat([words(little, 0xbad, length), body, words(little, length)]);
    expect(readPackets(openCapture('x', Buffer.concat([start, custom, packet])))).toHaveLength(1);
  });

  test('a block that is cut off anywhere is reported, not counted, and no error', () => {
    const bytes = Buffer.concat([start, packet, packet]);
    const second = start.length + packet.length;
    for (let end = second; end < bytes.length; end++) {
      const cursor = openCapture('x', bytes.subarray(0, end));
      expect(readPackets(cursor)).toHaveLength(1);
      expect(cursor.truncated).toEqual(end === second ? null : { offset: second });
    }
  });
});

describe('damaged captures', () => {
  test('cut, overwritten and spliced files give packets or a CaptureError, nothing else', () => {
    let errors = 0;
    let facts = 0;
    for (let seed = 1; seed <= 600; seed++) {
      const random = new Random(seed);
      const { file, bytes } = synthesizeCapture(random.between(1, 40));
      let damaged = Buffer.from(bytes);
      for (let count = random.between(1, 6); count > 0; count--) {
        const at = random.below(random.oneIn(2) ? Math.min(200, damaged.length) : damaged.length);
        const kind = random.below(6);
        if (kind === 0) damaged = damaged.subarray(0, at);
        else if (kind === 1) {
          const rest = damaged.subarray(at + random.below(9));
          damaged = Buffer.concat([damaged.subarray(0, at), random.bytes(random.below(9)), rest]);
        } else damaged[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
        if (damaged.length === 0) break;
      }
      const pipeline = new BufferPipeline();
      try {
        pipeline.run(file, openCapture(file, damaged));
        expect(pipeline.chains.live, `seed ${seed}`).toBe(0);
        facts++;
      } catch (error) {
        if (!(error instanceof CaptureError)) throw new Error(`seed ${seed}`, { cause: error });
        expect(error.offset).toBeGreaterThanOrEqual(0);
        expect(error.offset).toBeLessThanOrEqual(damaged.length);
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(50);
    expect(facts).toBeGreaterThan(50);
  });
});
