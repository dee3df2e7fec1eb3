/**
 * The facts of a capture, with the keys that test/captures/*.facts.json have, and their builder.
 *
 * Each protocol CPU collects a `FactsPart`, plain data that a message can carry; `mergeFacts` adds
 * the parts up. Whatever the facts list in order of the file carries its frame number until then.
 */

import { createHash, type Hash } from 'node:crypto';
import { endText } from './flow-key.ts';
import { linkNames } from './link-type.ts';
import { FROM_CLIENT, FROM_SERVER, type Stream } from './stream-table.ts';

const countKeys = [
  'frames',
  'bytes',
  'ip',
  'ipv6',
  'arp',
  'tcp',
  'udp',
  'icmp',
  'icmpv6',
  'ip.checksum.good',
  'ip.checksum.bad',
  'tcp.checksum.good',
  'tcp.checksum.bad',
  'udp.checksum.good',
  'udp.checksum.bad',
  'icmp.checksum.good',
  'icmp.checksum.bad',
  'icmpv6.checksum.good',
  'icmpv6.checksum.bad',
  'ipv4.fragments',
  'ipv6.fragments',
] as const;

export type FactsCounts = Record<(typeof countKeys)[number], number>;

export interface StreamFacts {
  stream: number;
  client: string;
  server: string;
  client_bytes: number;
  client_sha256: string;
  server_bytes: number;
  server_sha256: string;
}

/** One capture's facts: what `umbuf pcap --json` prints for it. */
export interface CaptureFacts extends FactsCounts {
  file: string;
  link: string;
  'ipv4.reassembled.lengths': number[];
  'ipv6.reassembled.lengths': number[];
  'tcp.streams': StreamFacts[];
}

/** What one protocol CPU found. */
export interface FactsPart {
  counts: FactsCounts;
  /** Frames that could be parsed down to no transport although they claim one. In no fact. */
  unparsed: number;
  reassembled: { frame: number; version: number; length: number }[];
  streams: { frame: number; facts: Omit<StreamFacts, 'stream'> }[];
}

/** A part with all counts 0. */
export function createFactsPart(): FactsPart {
  const counts = Object.fromEntries(countKeys.map((key) => [key, 0])) as FactsCounts;
  return { counts, unparsed: 0, reassembled: [], streams: [] };
}

/**
 * The facts of the capture `file` (its name without folder) from the parts of all CPUs.
 * `linkTypes` are those of its frames in order, or of its interfaces where it has no frames.
 */
export function mergeFacts(
  file: string,
  linkTypes: Iterable<number>,
  parts: readonly FactsPart[],
): CaptureFacts {
  const { counts } = createFactsPart();
  for (const part of parts) for (const key of countKeys) counts[key] += part.counts[key];
  const reassembled = inFrameOrder(parts.flatMap((part) => part.reassembled));
  const streams = inFrameOrder(parts.flatMap((part) => part.streams));
  const lengths = (version: number) =>
    reassembled.filter((datagram) => datagram.version === version).map(({ length }) => length);
  return {
    file,
    link: linkNames(linkTypes),
    ...counts,
    'ipv4.reassembled.lengths': lengths(4),
    'ipv6.reassembled.lengths': lengths(6),
    'tcp.streams': streams.map(({ facts }, stream) => ({ stream, ...facts })),
  };
}

/** Number and SHA-256 of the payload bytes that each end of each stream sent. */
export class StreamDigests<Chain> {
  readonly #digests = new Map<Stream<Chain>, [Digest, Digest]>();

  /** Adds the next bytes of a direction, FROM_CLIENT or FROM_SERVER. They are not kept. */
  update(stream: Stream<Chain>, direction: number, bytes: Uint8Array): void {
    let digests = this.#digests.get(stream);
    if (digests === undefined) {
      digests = [createDigest(), createDigest()];
      this.#digests.set(stream, digests);
    }
    const digest = digests[direction === FROM_CLIENT ? FROM_CLIENT : FROM_SERVER];
    digest.bytes += bytes.length;
    digest.hash.update(bytes);
  }

  /** Facts of the table's streams, for `FactsPart.streams`. Call once, at the end. */
  finish(streams: readonly Stream<Chain>[]): FactsPart['streams'] {
    return streams.map((stream) => {
      const [client, server] = this.#digests.get(stream) ?? [createDigest(), createDigest()];
      const facts = {
        client: endText(stream.key, stream.client),
        server: endText(stream.key, 1 - stream.client),
        client_bytes: client.bytes,
        client_sha256: client.hash.digest('hex'),
        server_bytes: server.bytes,
        server_sha256: server.hash.digest('hex'),
      };
      return { frame: stream.frame, facts };
    });
  }
}

interface Digest {
  bytes: number;
  readonly hash: Hash;
}

function createDigest(): Digest {
  return { bytes: 0, hash: createHash('sha256') };
}

function inFrameOrder<Found extends { frame: number }>(found: Found[]): Found[] {
  return found.sort((one, other) => one.frame - other.frame);
}
