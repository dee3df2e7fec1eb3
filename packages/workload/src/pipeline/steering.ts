/**
 * Which protocol CPU a packet goes to, as receive-side scaling does it: the driver steers each
 * frame by the hash of its flow, or, a fragment, of its datagram; a protocol CPU steers a
 * completed datagram by the hash of the flow that only then is known. Both ask here, so all
 * segments of one connection meet on one CPU.
 */

import { createKey, flowKey, fragmentKey, hashKey } from '../capture/flow-key.ts';
import { createIpPacket, IpProtocol, PARSED, parseIp } from '../capture/headers.ts';
import {
  decodeLink,
  linkHeaderLength,
  linkProtocol,
  NetworkProtocol,
} from '../capture/link-type.ts';

export class Steering {
  /** Whether the frame that `steerFrame` saw last must be reassembled. */
  fragment = false;

  readonly #protocols: number;
  readonly #packet = createIpPacket();
  readonly #key = createKey();

  constructor(protocols: number) {
    this.#protocols = protocols;
  }

  /** The protocol CPU for a frame of `length` contiguous bytes at `offset`; see `fragment`. */
  steerFrame(linkType: number, bytes: Uint8Array, offset: number, length: number): number {
    this.fragment = false;
    if (this.#protocols === 1) return 0;
    const link = decodeLink(linkType, bytes, offset, length);
    const version = ipVersion(linkProtocol(link));
    if (version === 0) return 0;
    const network = offset + linkHeaderLength(link);
    const captured = length - linkHeaderLength(link);
    const packet = this.#packet;
    // All is contiguous: the parser cannot ask for more.
    if (parseIp(version, bytes, network, captured, captured, packet) !== PARSED) return 0;
    if (packet.partial === 0) {
      const { protocol, payload } = packet;
      const available = Math.min(captured, packet.end) - payload;
      return this.steerFlow(version, protocol, bytes, network, network + payload, available);
    }
    this.fragment = true;
    fragmentKey(this.#key, packet, bytes, network);
    return hashKey(this.#key) % this.#protocols;
  }

  /** The protocol CPU for a packet whose transport header and payload have `length` bytes. */
  steerFlow(
    version: number,
    protocol: number,
    bytes: Uint8Array,
    network: number,
    transport: number,
    length: number,
  ): number {
    const hasPorts = (protocol === IpProtocol.tcp || protocol === IpProtocol.udp) && length >= 4;
    flowKey(this.#key, version, protocol, bytes, network, transport, hasPorts);
    return hashKey(this.#key) % this.#protocols;
  }
}

/** 4, 6, or 0 for what is not IP. */
export function ipVersion(network: number): number {
  if (network === NetworkProtocol.ipv4) return 4;
  return network === NetworkProtocol.ipv6 ? 6 : 0;
}
