/**
 * What a field can hold: checks of values before they are written through a typed item. Pure functions;
 * each throws `FieldValueError` naming struct and field.
 */

import { FieldValueError } from '../errors.ts';
import type { Format } from './field.ts';

const RANGES: Partial<Record<Format, readonly [least: number, most: number]>> = {
  i8: [-128, 127],
  u8: [0, 255],
  i16: [-32768, 32767],
  u16: [0, 65535],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};

/** Integers of a format's range. */
export function integerCheck(format: Format, what: string): (value: number) => void {
  const [least, most] = RANGES[format]!;
  return (value) => {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw refused(what, value, `an integer from ${least} to ${most}`);
    }
  };
}

/** Any number, NaN included. */
export function floatCheck(what: string): (value: number) => void {
  return (value) => {
    if (typeof value !== 'number') throw refused(what, value, 'a number');
  };
}

/** Bigints of 64 bits. */
export function bigintCheck(format: 'i64' | 'u64', what: string): (value: bigint) => void {
  const signed = format === 'i64';
  return (value) => {
    if (
      typeof value !== 'bigint' ||
      (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) !== value
    ) {
      throw refused(what, value, `a bigint of 64 bits, ${signed ? '' : 'un'}signed`);
    }
  };
}

/** `what` is the field as `struct.field`, `wanted` what it takes. */
export function refused(what: string, value: unknown, wanted: string): FieldValueError {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return new FieldValueError(`${what}: ${shown} is not ${wanted}`);
}
