/** Packets as objects over chains of mbufs. */

export { isPacketMessage, type PacketMessage } from './message.ts';
export { Packet } from './packet.ts';
export { PacketReader, type StreamClass } from './reader.ts';
export { PacketNumbers } from './numbers.ts';
export { Packets, type PacketTransferHandler, packetTransferHandler } from './packets.ts';
