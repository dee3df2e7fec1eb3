/** The reading half of `umbuf pcap`: from a capture file to the facts of its packets. */

export { captureName, openCaptureFile } from './capture-file.ts';
export { CaptureError } from './capture-error.ts';
export { addToSum, foldSum, pseudoHeaderSum, sumIsGood } from './checksum.ts';
export {
  type CaptureFacts,
  createFactsPart,
  type FactsCounts,
  type FactsPart,
  mergeFacts,
  StreamDigests,
  type StreamFacts,
} from './facts.ts';
export {
  createKey,
  endText,
  flowKey,
  fragmentKey,
  hashKey,
  ipv4Text,
  ipv6Text,
  KEY_WORDS,
} from './flow-key.ts';
export {
  createIpPacket,
  CUT_OFF,
  type IpPacket,
  IpProtocol,
  MALFORMED,
  PARSED,
  parseIp,
  read16,
  read32,
  walkExtensionHeaders,
} from './headers.ts';
export {
  decodeLink,
  linkHeaderLength,
  linkNames,
  linkProtocol,
  linkTypeName,
  NetworkProtocol,
} from './link-type.ts';
export type { PacketCursor } from './packet-cursor.ts';
export { type ChainOperations, EXHAUSTED, type Piece, PieceList } from './piece-list.ts';
export { type CapturedPacket, openCapture, readPackets } from './read-capture.ts';
export { COMPLETE, OVERSIZE, ReassemblyTable, WAITING } from './reassembly-table.ts';
export {
  FROM_CLIENT,
  FROM_SERVER,
  type Stream,
  type StreamSink,
  StreamTable,
  TAKEN,
} from './stream-table.ts';
export {
  destinationPort,
  ICMP_HEADER_BYTES,
  icmpCode,
  icmpType,
  sourcePort,
  TCP_HEADER_BYTES,
  tcpAcknowledgement,
  tcpDataOffset,
  TcpFlag,
  tcpFlags,
  tcpSequence,
  UDP_HEADER_BYTES,
  udpChecksum,
  udpLength,
} from './transport-headers.ts';
