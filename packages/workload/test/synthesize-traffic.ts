/**
 * Traffic for synthetic captures: TCP connections with every irregularity that the captures'
 * README defines (and some that it leaves open), mixed with datagrams and frames without IP.
 */

import type { Random } from './random.ts';
import {
  type Ends,
  icmp,
  type NetworkPacket,
  noIp,
  otherTransport,
  randomEnds,
  reversed,
  tcp,
  udp,
} from './synthesize-packets.ts';

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** Packets of several conversations, interleaved; the order within each is kept. */
export function traffic(random: Random): NetworkPacket[] {
  const conversations: NetworkPacket[][] = [];
  // Few ends, so that connections reuse the ports of earlier and concurrent ones.
  const ends = [randomEnds(random), randomEnds(random), randomEnds(random)];
  for (let count = random.between(1, 6); count > 0; count--) {
    const connection = tcpConnection(random, random.pick(ends));
    const reused = random.oneIn(2) ? conversations.at(-1) : undefined;
    if (reused === undefined) conversations.push(connection);
    else reused.push(...connection);
  }
  for (let count = random.below(8); count > 0; count--) {
    const build = random.pick([udp, udp, icmp, icmp, otherTransport, noIp]);
    conversations.push(build(random, randomEnds(random)));
  }
  const packets: NetworkPacket[] = [];
  const left = conversations.filter((conversation) => conversation.length > 0);
  while (left.length > 0) {
    const index = random.below(left.length);
    const run = left[index]!;
    packets.push(...run.splice(0, random.between(1, 5)));
    if (run.length === 0) left.splice(index, 1);
  }
  if (random.oneIn(3)) damage(random, packets);
  return packets;
}

interface Segment {
  fromClient: boolean;
  sequence: number;
  flags: number;
  payload: Buffer;
}

function tcpConnection(random: Random, ends: Ends): NetworkPacket[] {
  const ports = { client: random.pick([40000, 40001, 80]), server: random.pick([80, 8080]) };
  const sides = [true, false].map((fromClient) => ({
    fromClient,
    // Close below 2^32, so that the sequence numbers of many streams wrap around.
    start: random.oneIn(2) ? 2 ** 32 - random.between(1, 3000) : random.below(2 ** 32),
    data: random.bytes(random.below(random.pick([1, 10, 4000]))),
  }));
  const segments = handshake(random, sides[0]!, sides[1]!);
  const streams = sides.map((side) => dataSegments(random, side));
  while (streams.some((stream) => stream.length > 0)) {
    const segment = random.pick(streams).shift();
    if (segment !== undefined) segments.push(segment);
  }
  for (const side of sides) segments.push(...closing(random, side));
  return irregular(random, segments).flatMap(({ fromClient, sequence, flags, payload }) =>
    tcp(random, fromClient ? ends : reversed(ends), {
      sourcePort: fromClient ? ports.client : ports.server,
      destinationPort: fromClient ? ports.server : ports.client,
      sequence: sequence % 2 ** 32,
      flags,
      payload,
    }),
  );
}

interface Side {
  fromClient: boolean;
  /** Sequence number of the SYN; the data begins one later. */
  start: number;
  data: Buffer;
}

function handshake(random: Random, client: Side, server: Side): Segment[] {
  if (random.oneIn(5)) return [];
  const segments: Segment[] = [];
  for (const side of [client, server]) {
    const flags = side.fromClient ? SYN : SYN | ACK;
    // TCP Fast Open: the SYN carries the first bytes.
    const payload = side.data.subarray(0, random.oneIn(4) ? random.below(50) : 0);
    const { fromClient, start } = side;
    segments.push({ fromClient, sequence: start, flags, payload });
    if (random.oneIn(5)) segments.push({ fromClient, sequence: start, flags, payload });
  }
  return segments;
}

function dataSegments(random: Random, side: Side): Segment[] {
  const { fromClient, start, data } = side;
  const segments: Segment[] = [];
  const add = (from: number, to: number) => {
    const payload = data.subarray(Math.max(0, from), to);
    segments.push({ fromClient, sequence: start + 1 + from, flags: ACK, payload });
  };
  for (let at = 0; at < data.length; ) {
    const end = Math.min(data.length, at + random.between(1, random.pick([10, 100, 1460])));
    add(at, end);
    // A retransmission with other borders, reaching back and forth.
    if (random.oneIn(6)) add(random.below(at + 1), random.between(end, data.length));
    // A keep-alive: no byte, or the last one before the next.
    if (random.oneIn(10)) {
      const payload = random.bytes(random.below(2));
      segments.push({ fromClient, sequence: start + end, flags: ACK, payload });
    }
    at = end;
  }
  if (random.oneIn(2)) segments.push({ ...dataless(side), sequence: start });
  return segments;
}

function closing(random: Random, side: Side): Segment[] {
  const { fromClient, start, data } = side;
  const sequence = start + 1 + data.length;
  const payload = random.oneIn(4) ? random.bytes(random.between(1, 20)) : Buffer.alloc(0);
  if (random.oneIn(4)) return [{ fromClient, sequence, flags: RST, payload }];
  if (random.oneIn(4)) return [];
  return [{ fromClient, sequence, flags: FIN | ACK, payload }, dataless(side)];
}

function dataless({ fromClient, start, data }: Side): Segment {
  const sequence = start + 1 + data.length;
  return { fromClient, sequence, flags: ACK, payload: Buffer.alloc(0) };
}

/** Loss, repetition and disorder; now and then other bytes at the same place, or a stray SYN. */
function irregular(random: Random, segments: Segment[]): Segment[] {
  const disorder = random.pick([0, 0, 1, 3]);
  const sent: Segment[] = [];
  for (const segment of segments) {
    if (disorder > 0 && random.oneIn(12)) continue;
    sent.push(segment);
    if (disorder > 0 && random.oneIn(8)) sent.push(random.pick(sent));
    if (random.oneIn(20)) sent.push({ ...segment, payload: random.bytes(segment.payload.length) });
    if (random.oneIn(60)) sent.push({ ...segment, flags: SYN });
  }
  for (let swaps = disorder * 3; swaps > 0 && sent.length > 1; swaps--) {
    const at = random.below(sent.length);
    const [moved] = sent.splice(at, 1);
    sent.splice(Math.min(sent.length, at + random.between(0, 8)), 0, moved!);
  }
  return sent;
}

/** Random bytes in a few headers: lengths, versions and offsets that contradict each other. */
function damage(random: Random, packets: NetworkPacket[]): void {
  for (let count = random.between(1, 4); count > 0; count--) {
    const packet = random.pick(packets);
    if (packet.bytes.length === 0) continue;
    const bytes = Buffer.from(packet.bytes);
    bytes[random.below(Math.min(80, bytes.length))] = random.below(256);
    packet.bytes = bytes;
  }
}
