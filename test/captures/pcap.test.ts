/**
 * The capture pipeline on real workers: every capture's facts are the same with any number of CPUs,
 * and those of an independent dissector (shipped captures) or of the oracle in packages/workload/test
 * (synthetic ones). `run` itself fails when an mbuf is left over or an invariant is broken.
 *
 * UMBUF_SEEDS=first-last runs other synthetic captures, for a longer campaign.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { M_NOWAIT } from '@umbuf/uma';
import { CapturePipeline, type CaptureReport, type PipelineOptions } from '@umbuf/workload';

/** Sources of another package's tests, which this project must not compile. */
async function fromWorkload<Module>(name: string): Promise<Module> {
  const url = new URL(`../../packages/workload/test/${name}.ts`, import.meta.url);
  return (await import(/* @vite-ignore */ url.href)) as Module;
}
const { synthesizeCapture } = await fromWorkload<{
  synthesizeCapture(seed: number): { file: string; bytes: Buffer; truncatedAt: number | null };
}>('synthesize');
const { traffic } = await fromWorkload<{
  traffic(random: object): { kind: string; bytes: Buffer }[];
}>('synthesize-traffic');
const { Random } = await fromWorkload<{
  Random: new (
    seed: number,
  ) => { below(limit: number): number; between(low: number, high: number): number };
}>('random');
const { referenceFacts } = await fromWorkload<{
  referenceFacts(file: string, bytes: Uint8Array): unknown;
}>('reference-pipeline');

const folder = fileURLToPath(new URL('.', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'umbuf-pcap-'));
const shipped = readdirSync(folder).filter((name) => /\.pcap(ng)?$/.test(name));
const [first = 1, last = 60] = (process.env['UMBUF_SEEDS'] ?? '1-60').split('-').map(Number);
const pipelines: CapturePipeline[] = [];

async function boot(options: Partial<PipelineOptions>): Promise<CapturePipeline> {
  const pipeline = await CapturePipeline.boot([], {
    cpus: 1,
    level: 'none',
    preset: 'freebsd',
    ...options,
  });
  pipelines.push(pipeline);
  return pipeline;
}

function shippedFacts(name: string): unknown {
  return JSON.parse(
    readFileSync(join(folder, name.replace(/\.pcap(ng)?$/, '.facts.json')), 'utf8'),
  );
}

function save(name: string, bytes: Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

/** A pcap file of raw IP packets. */
function rawCapture(packets: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(101, 20);
  const records = packets.flatMap((packet) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    return [record, packet];
  });
  return Buffer.concat([header, ...records]);
}

/** Many conversations at once, of which every sixth packet and many TCP segments are fragmented. */
function conversations(seed: number, count: number): Buffer[] {
  const random = new Random(seed);
  const open = Array.from({ length: count }, () =>
    traffic(random).filter(({ kind }) => kind === 'ipv4' || kind === 'ipv6'),
  ).filter((packets) => packets.length > 0);
  const packets: Buffer[] = [];
  while (open.length > 0) {
    const index = random.below(open.length);
    const run = open[index]!;
    packets.push(...run.splice(0, random.between(1, 4)).map(({ bytes }) => bytes));
    if (run.length === 0) open.splice(index, 1);
  }
  return packets;
}

function total(reports: readonly CaptureReport[], count: (report: CaptureReport) => number) {
  return reports.reduce((sum, report) => sum + count(report), 0);
}

afterEach(async () => {
  await Promise.all(pipelines.splice(0).map((pipeline) => pipeline.shutdown()));
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe('shipped captures', () => {
  test('there are three', () => expect(shipped).toHaveLength(3));

  test.each([
    { cpus: 1 },
    { cpus: 2 },
    { cpus: 4 },
    { cpus: 7 },
    { cpus: 4, level: 'invariants' },
    { cpus: 1, level: 'checks' },
    { cpus: 2, preset: 'netbsd' },
    { cpus: 4, preset: 'netbsd', level: 'invariants' },
  ] as const)('have the facts of the dissector with %o', async (options) => {
    const pipeline = await boot(options);
    for (const name of [...shipped, ...shipped]) {
      const report = await pipeline.run(join(folder, name));
      expect(report.facts, name).toEqual(shippedFacts(name));
      expect(report.unparsed).toBe(0);
      expect(report.copies).toBe(report.facts.frames);
      expect(report.held).toBeGreaterThan(20);
      expect(report.pullups).toBeGreaterThan(0);
    }
  });
});

describe(`synthetic captures of seeds ${first} to ${last}`, () => {
  test.each([
    { cpus: 1 },
    { cpus: 4 },
    { cpus: 4, preset: 'netbsd' },
    { cpus: 6, level: 'invariants' },
  ] as const)('have the facts of the oracle with %o', async (options) => {
    const pipeline = await boot(options);
    const reports: CaptureReport[] = [];
    for (let seed = first; seed <= last; seed++) {
      const { file, bytes, truncatedAt } = synthesizeCapture(seed);
      const report = await pipeline.run(save(file, bytes));
      expect(report.facts, `seed ${seed}`).toEqual(referenceFacts(file, bytes));
      expect(report.truncatedAt, `seed ${seed}`).toBe(truncatedAt);
      reports.push(report);
    }
    // What the seeds must reach to be of any use.
    expect(total(reports, ({ unparsed }) => unparsed)).toBeGreaterThan(0);
    expect(total(reports, ({ incomplete }) => incomplete)).toBeGreaterThan(0);
    expect(total(reports, ({ handedOver }) => handedOver) > 0).toBe(options.cpus > 2);
  });

  test.each([1, 2])(
    'a capture of 100 conversations at once, seed %i, has them whoever completes what',
    async (seed) => {
      const bytes = rawCapture(conversations(seed, 100));
      const path = save(`conversations-${seed}.pcap`, bytes);
      const wanted = referenceFacts(`conversations-${seed}.pcap`, bytes);
      for (const cpus of [1, 4, 8]) {
        const pipeline = await boot({ cpus });
        const report = await pipeline.run(path);
        expect(report.facts).toEqual(wanted);
        if (cpus > 2) expect(report.handedOver).toBeGreaterThan(50);
      }
    },
  );
});

test('damaged captures give the same facts, or the same error, with 1 and with 4 CPUs', async () => {
  const one = await boot({ cpus: 1 });
  const four = await boot({ cpus: 4 });
  const outcomeOf = (pipeline: CapturePipeline, path: string) =>
    pipeline.run(path).then(
      ({ facts, unparsed, truncatedAt, incomplete }) => ({
        facts,
        unparsed,
        truncatedAt,
        incomplete,
      }),
      (error: Error) => `${error.name}: ${error.message}`,
    );
  let errors = 0;
  for (let seed = first; seed <= last; seed++) {
    const random = new Random(~seed);
    const { file, bytes } = synthesizeCapture(seed);
    for (let count = random.between(1, 20); count > 0; count--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    const path = save(`damaged-${file}`, bytes);
    const outcome = await outcomeOf(one, path);
    expect(await outcomeOf(four, path), `seed ${seed}`).toEqual(outcome);
    if (typeof outcome !== 'string') continue;
    expect(outcome, `seed ${seed}`).toMatch(/^CaptureError: .*: at byte \d+: /);
    errors++;
  }
  expect(errors).toBeGreaterThan(0);
});

describe('memory', () => {
  test.each([
    { cpus: 1, mib: 2.75 },
    { cpus: 2, mib: 2.75 },
    { cpus: 4, mib: 3 },
  ])('an arena that is full most of the time changes no fact: %o', async ({ cpus, mib }) => {
    const bytes = rawCapture(conversations(1, 60));
    const path = save('conversations.pcap', bytes);
    const pipeline = await boot({ cpus, arenaBytes: mib * 2 ** 20 });
    const report = await pipeline.run(path);
    expect(report.facts).toEqual(referenceFacts('conversations.pcap', bytes));
    expect(report.zones.reduce((sum, zone) => sum + zone.fails, 0)).toBeGreaterThan(0);
  });

  test.each([1, 4])(
    'fragments that fill the arena for good are an error, %i CPUs',
    async (cpus) => {
      // 4000 last fragments of as many datagrams: each holds a cluster until the end of the file.
      const fragments = Array.from({ length: 4000 }, (_, index) => {
        const packet = Buffer.alloc(1400);
        packet.writeUInt32BE(0x45000578, 0);
        packet.writeUInt32BE(((index % 65536) << 16) | 100, 4);
        packet[9] = 17;
        return packet;
      });
      const path = save('incomplete.pcap', rawCapture(fragments));
      const small = await boot({ cpus, arenaBytes: 6 * 2 ** 20, memoryMs: 300 });
      await expect(small.run(path, 'given.pcap')).rejects.toMatchObject({
        name: 'PipelineError',
        message: expect.stringMatching(
          /^given\.pcap: the arena of 6 MiB has been exhausted for 300 ms/,
        ),
      });
      const large = await boot({ cpus, arenaBytes: 32 * 2 ** 20, memoryMs: 300 });
      const report = await large.run(path);
      expect(report.incomplete).toBe(4000);
      expect(report.facts['ipv4.fragments']).toBe(4000);
    },
  );

  test('an mbuf that is left over is an error, and no longer when it was freed', async () => {
    const pipeline = await boot({ cpus: 2 });
    const path = join(folder, shipped.at(-1)!);
    const lost = pipeline.mbufs.gethdr(M_NOWAIT, 1);
    await expect(pipeline.run(path)).rejects.toMatchObject({
      name: 'PipelineError',
      message: expect.stringContaining('zone mbuf: live items: 1, should be 0'),
    });
    pipeline.mbufs.freem(lost);
    expect((await pipeline.run(path)).facts).toEqual(shippedFacts(shipped.at(-1)!));
  });
});

test('a CPU that no other one serves gives up after its bound', async () => {
  const pipeline = await boot({ cpus: 2, stallMs: 0 });
  const path = save('idle.pcap', rawCapture(conversations(2, 60)));
  await expect(pipeline.run(path)).rejects.toThrow(/for 0 ms/);
});
