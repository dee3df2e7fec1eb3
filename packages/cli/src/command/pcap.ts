/** `umbuf pcap`: captures through mbufs across CPUs, and the facts of their packets. */

import { resolve } from 'node:path';
import { CapturePipeline, type CaptureReport, type PipelineOptions } from '@umbuf/workload';
import { choice, integer, parse, type Parsed, UsageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import { good, short, table } from '../screen.ts';

const help = `umbuf pcap FILE... [options]

Moves every frame of pcap and pcapng files through mbufs: a driver CPU copies it in, protocol CPUs
verify checksums, reassemble fragments and put TCP streams in order, a tap holds shared copies.

  --cpus N         worker threads (2)
  --level LEVEL    none, checks or invariants (none)
  --preset NAME    freebsd or netbsd (freebsd): sizes and flags of mbufs
  --memory MIB     size of the arena, 8 to 2047 (by the largest file)
  --json           one JSON array on stdout, an object per file; all else on stderr

Exit code 0: done; a last record cut off by the end of the file is reported and not counted.
1: a file is no capture or has a record that cannot be right; memory ran out; mbufs were left over.
2: the options are off.
`;

const options = {
  cpus: { type: 'string' },
  level: { type: 'string' },
  preset: { type: 'string' },
  memory: { type: 'string' },
  json: { type: 'boolean' },
} as const;

async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args, options, true);
  const files = parsed.positionals;
  if (files.length === 0) throw new UsageError('no capture file given');
  const json = parsed.values['json'] === true;
  const paths = files.map((file) => resolve(process.env['INIT_CWD'] ?? process.cwd(), file));
  const reports: CaptureReport[] = [];
  try {
    await using pipeline = await CapturePipeline.boot(paths, pipelineOptions(parsed));
    for (const [index, path] of paths.entries()) {
      const file = files[index]!;
      const report = await pipeline.run(path, file);
      warn(file, report);
      reports.push(report);
      if (!json) process.stdout.write(`${describeCapture(report)}\n`);
    }
  } catch (error) {
    if ((error as Error).name !== 'PipelineError') throw error;
    process.stderr.write(`umbuf pcap: ${(error as Error).message}\n`);
    return 1;
  }
  if (json) {
    process.stdout.write(`${JSON.stringify(reports.map(({ facts }) => facts))}\n`);
  } else {
    process.stdout.write(`${good('ok')}: no mbuf left over, every invariant holds\n`);
  }
  return 0;
}

function pipelineOptions(parsed: Parsed): PipelineOptions {
  const memory = integer(parsed, 'memory', 0, 8, 2047);
  return {
    cpus: integer(parsed, 'cpus', 2, 1, 64),
    level: choice(parsed, 'level', 'none', ['none', 'checks', 'invariants']),
    preset: choice(parsed, 'preset', 'freebsd', ['freebsd', 'netbsd']),
    ...(memory === 0 ? {} : { arenaBytes: memory * 2 ** 20 }),
  };
}

/** What a reader of the facts alone would miss. */
function warn(file: string, report: CaptureReport): void {
  const { truncatedAt, unparsed } = report;
  if (truncatedAt !== null) {
    process.stderr.write(
      `${file}: at byte ${truncatedAt}: the end of the file cuts off the last record; not counted\n`,
    );
  }
  if (unparsed > 0) {
    process.stderr.write(`${file}: ${frames(unparsed)} could not be parsed to the end\n`);
  }
}

/** The summary of one capture. */
function describeCapture(report: CaptureReport): string {
  const { facts, seconds } = report;
  const protocols = (['ip', 'tcp', 'udp', 'icmp', 'icmpv6'] as const).map((name) => [
    name,
    String(facts[name]),
    String(facts[`${name}.checksum.good`]),
    String(facts[`${name}.checksum.bad`]),
  ]);
  const without = (['ipv6', 'arp'] as const).map((name) => [name, String(facts[name]), '-', '-']);
  const zones = report.zones
    .filter((zone) => zone.allocs > 0)
    .map((zone) => [zone.name, String(zone.size), String(zone.allocs), String(zone.live)]);
  const streams = facts['tcp.streams'];
  const streamBytes = streams.reduce((sum, one) => sum + one.client_bytes + one.server_bytes, 0);
  const lines = [
    `${facts.file}: ${facts.link || 'no link'}, ${frames(facts.frames)}, ${facts.bytes} bytes, ` +
      `${seconds.toFixed(3)} s (${short(facts.frames / seconds)} frames/s)`,
    '',
    table(['PROTOCOL', 'FRAMES', 'GOOD', 'BAD'], [...protocols, ...without]),
    `fragments: ${facts['ipv4.fragments']} IPv4, ${facts['ipv6.fragments']} IPv6; datagrams ` +
      `reassembled: ${facts['ipv4.reassembled.lengths'].length} IPv4, ` +
      `${facts['ipv6.reassembled.lengths'].length} IPv6; incomplete: ${report.incomplete}; ` +
      `handed to the CPU of their flow: ${report.handedOver}`,
    `TCP: ${streams.length} streams, ${streamBytes} bytes in order; pull-ups: ${report.pullups}`,
    `tap: ${report.copies} shared copies verified, up to ${report.held} held at once`,
    ...(report.unparsed === 0 ? [] : [`not parsed to the end: ${frames(report.unparsed)}`]),
    '',
    table(['ZONE', 'SIZE', 'ALLOCS', 'LIVE'], zones),
  ];
  return lines.join('\n');
}

function frames(count: number): string {
  return count === 1 ? '1 frame' : `${count} frames`;
}

export const command: Command = { help, run };
