/**
 * Numbers in a packet, under the names that Buffer has for them: `readUInt16BE(offset)`, `writeInt32LE(value,
 * offset)`. A number may lie in more than one segment. Reading copies nothing else; writing copies first
 * what others share. `offset` is an integer; offset and size lie inside the packet, else ChainRangeError.
 *
 * Every write returns false on exhaustion, with no byte changed, and throws ArgumentError for a value that
 * its type does not hold.
 */

import { ArgumentError, requireInteger } from '@umbuf/memory';
import type { Life } from './life.ts';
import { find, gathered } from './read.ts';
import { writeGathered } from './write.ts';

/** The constructor only stores fields. */
export class PacketNumbers {
  protected readonly life: Life;

  protected constructor(life: Life) {
    this.life = life;
  }

  readUInt8(offset: number): number {
    return this.life.context.view.getUint8(find(this.life, offset, 1));
  }

  readUInt16BE(offset: number): number {
    const at = find(this.life, offset, 2);
    return at < 0 ? gathered.getUint16(0) : this.life.context.view.getUint16(at);
  }

  readUInt16LE(offset: number): number {
    const at = find(this.life, offset, 2);
    return at < 0 ? gathered.getUint16(0, true) : this.life.context.view.getUint16(at, true);
  }

  readUInt32BE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getUint32(0) : this.life.context.view.getUint32(at);
  }

  readUInt32LE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getUint32(0, true) : this.life.context.view.getUint32(at, true);
  }

  readBigUInt64BE(offset: number): bigint {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getBigUint64(0) : this.life.context.view.getBigUint64(at);
  }

  readBigUInt64LE(offset: number): bigint {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getBigUint64(0, true) : this.life.context.view.getBigUint64(at, true);
  }

  readInt8(offset: number): number {
    return this.life.context.view.getInt8(find(this.life, offset, 1));
  }

  readInt16BE(offset: number): number {
    const at = find(this.life, offset, 2);
    return at < 0 ? gathered.getInt16(0) : this.life.context.view.getInt16(at);
  }

  readInt16LE(offset: number): number {
    const at = find(this.life, offset, 2);
    return at < 0 ? gathered.getInt16(0, true) : this.life.context.view.getInt16(at, true);
  }

  readInt32BE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getInt32(0) : this.life.context.view.getInt32(at);
  }

  readInt32LE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getInt32(0, true) : this.life.context.view.getInt32(at, true);
  }

  readBigInt64BE(offset: number): bigint {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getBigInt64(0) : this.life.context.view.getBigInt64(at);
  }

  readBigInt64LE(offset: number): bigint {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getBigInt64(0, true) : this.life.context.view.getBigInt64(at, true);
  }

  readFloatBE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getFloat32(0) : this.life.context.view.getFloat32(at);
  }

  readFloatLE(offset: number): number {
    const at = find(this.life, offset, 4);
    return at < 0 ? gathered.getFloat32(0, true) : this.life.context.view.getFloat32(at, true);
  }

  readDoubleBE(offset: number): number {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getFloat64(0) : this.life.context.view.getFloat64(at);
  }

  readDoubleLE(offset: number): number {
    const at = find(this.life, offset, 8);
    return at < 0 ? gathered.getFloat64(0, true) : this.life.context.view.getFloat64(at, true);
  }

  writeUInt8(value: number, offset: number): boolean {
    requireInteger('value', value, 0, 0xff);
    gathered.setUint8(0, value);
    return writeGathered(this.life, offset, 1);
  }

  writeUInt16BE(value: number, offset: number): boolean {
    requireInteger('value', value, 0, 0xffff);
    gathered.setUint16(0, value);
    return writeGathered(this.life, offset, 2);
  }

  writeUInt16LE(value: number, offset: number): boolean {
    requireInteger('value', value, 0, 0xffff);
    gathered.setUint16(0, value, true);
    return writeGathered(this.life, offset, 2);
  }

  writeUInt32BE(value: number, offset: number): boolean {
    requireInteger('value', value, 0, 0xffff_ffff);
    gathered.setUint32(0, value);
    return writeGathered(this.life, offset, 4);
  }

  writeUInt32LE(value: number, offset: number): boolean {
    requireInteger('value', value, 0, 0xffff_ffff);
    gathered.setUint32(0, value, true);
    return writeGathered(this.life, offset, 4);
  }

  writeBigUInt64BE(value: bigint, offset: number): boolean {
    requireBigInt(value, false);
    gathered.setBigUint64(0, value);
    return writeGathered(this.life, offset, 8);
  }

  writeBigUInt64LE(value: bigint, offset: number): boolean {
    requireBigInt(value, false);
    gathered.setBigUint64(0, value, true);
    return writeGathered(this.life, offset, 8);
  }

  writeInt8(value: number, offset: number): boolean {
    requireInteger('value', value, -0x80, 0x7f);
    gathered.setInt8(0, value);
    return writeGathered(this.life, offset, 1);
  }

  writeInt16BE(value: number, offset: number): boolean {
    requireInteger('value', value, -0x8000, 0x7fff);
    gathered.setInt16(0, value);
    return writeGathered(this.life, offset, 2);
  }

  writeInt16LE(value: number, offset: number): boolean {
    requireInteger('value', value, -0x8000, 0x7fff);
    gathered.setInt16(0, value, true);
    return writeGathered(this.life, offset, 2);
  }

  writeInt32BE(value: number, offset: number): boolean {
    requireInteger('value', value, -0x8000_0000, 0x7fff_ffff);
    gathered.setInt32(0, value);
    return writeGathered(this.life, offset, 4);
  }

  writeInt32LE(value: number, offset: number): boolean {
    requireInteger('value', value, -0x8000_0000, 0x7fff_ffff);
    gathered.setInt32(0, value, true);
    return writeGathered(this.life, offset, 4);
  }

  writeBigInt64BE(value: bigint, offset: number): boolean {
    requireBigInt(value, true);
    gathered.setBigInt64(0, value);
    return writeGathered(this.life, offset, 8);
  }

  writeBigInt64LE(value: bigint, offset: number): boolean {
    requireBigInt(value, true);
    gathered.setBigInt64(0, value, true);
    return writeGathered(this.life, offset, 8);
  }

  writeFloatBE(value: number, offset: number): boolean {
    requireNumber(value);
    gathered.setFloat32(0, value);
    return writeGathered(this.life, offset, 4);
  }

  writeFloatLE(value: number, offset: number): boolean {
    requireNumber(value);
    gathered.setFloat32(0, value, true);
    return writeGathered(this.life, offset, 4);
  }

  writeDoubleBE(value: number, offset: number): boolean {
    requireNumber(value);
    gathered.setFloat64(0, value);
    return writeGathered(this.life, offset, 8);
  }

  writeDoubleLE(value: number, offset: number): boolean {
    requireNumber(value);
    gathered.setFloat64(0, value, true);
    return writeGathered(this.life, offset, 8);
  }
}

function requireNumber(value: unknown): void {
  if (typeof value !== 'number') {
    throw new ArgumentError(`value: ${String(value)} is no number`);
  }
}

function requireBigInt(value: unknown, signed: boolean): void {
  if (typeof value === 'bigint') {
    if ((signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value) return;
  }
  throw new ArgumentError(
    `value: ${String(value)} is no ${signed ? 'signed' : 'unsigned'} bigint of 64 bits`,
  );
}
