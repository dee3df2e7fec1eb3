/**
 * Fields of a struct, as data: what a field is, how many bytes it takes, which kind of word it is and
 * which TypeScript type its value has. Nothing here touches shared memory; struct.ts places the fields,
 * access.ts reads and writes them.
 *
 * Plain fields are words of the kind *owned*: whoever holds the item may touch them. Atomic fields may
 * be touched by anyone who knows that the item is alive. A pointer names an item of another zone by
 * address and generation, both owned; an atomic pointer is one atomic word with the address.
 */

import { ArgumentError } from '@umbuf/memory';

/** Formats of numbers in memory (little-endian, as the engine's typed arrays). */
export type Format =
  | 'bool'
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'u32'
  | 'f32'
  | 'f64'
  | 'i64'
  | 'u64'
  | 'utf8'
  | 'bytes'
  | 'pointer';

/** Who frees the item that a pointer leads to. */
export type PointerOwnership =
  /** The struct that has the pointer: it is freed with it. */
  | 'owned'
  /** Somebody else: the pointer is only looked at. */
  | 'borrowed';

/** A field of a struct. `Value` is the type of what is read and written. */
export interface Field<Value> {
  readonly format: Format;
  /** Bytes, and what the offset is a multiple of. */
  readonly size: number;
  readonly align: number;
  /** Whether the field's words are of the kind atomic; else they are owned. */
  readonly atomic: boolean;
  /** Of pointers only. */
  readonly ownership?: PointerOwnership;
  /** Of pointers only: the name of the zone that it leads into. */
  readonly target?: string;
  /** Only for the type checker; never there. */
  readonly value?: Value;
}

/** An atomic field: numbers of 32 or 64 bits. */
export interface AtomicField<Value> extends Field<Value> {
  readonly atomic: true;
}

function plain<Value>(format: Format, size: number): Field<Value> {
  return Object.freeze({ format, size, align: size, atomic: false });
}

function shared<Value>(format: Format, size: number): AtomicField<Value> {
  return Object.freeze({ format, size, align: size, atomic: true });
}

export const bool: Field<boolean> = plain('bool', 1);
export const i8: Field<number> = plain('i8', 1);
export const u8: Field<number> = plain('u8', 1);
export const i16: Field<number> = plain('i16', 2);
export const u16: Field<number> = plain('u16', 2);
export const i32: Field<number> = plain('i32', 4);
export const u32: Field<number> = plain('u32', 4);
export const f32: Field<number> = plain('f32', 4);
export const f64: Field<number> = plain('f64', 8);
export const i64: Field<bigint> = plain('i64', 8);
export const u64: Field<bigint> = plain('u64', 8);

/** Atomic numbers: each access is one `Atomics` call of the field's own width. */
export const atomic: {
  readonly i32: AtomicField<number>;
  readonly u32: AtomicField<number>;
  readonly i64: AtomicField<bigint>;
} = Object.freeze({
  i32: shared<number>('i32', 4),
  u32: shared<number>('u32', 4),
  i64: shared<bigint>('i64', 8),
});

/**
 * A string of at most `bytes` (1 to 65,536) bytes of UTF-8. Writing a longer one throws and changes
 * nothing; the bytes behind a shorter one are zero.
 */
export function utf8(bytes: number): Field<string> {
  requireBytes('utf8', bytes);
  return Object.freeze({ format: 'utf8', size: bytes, align: 1, atomic: false });
}

/** `count` (1 to 65,536) bytes. Read as a view of the shared bytes, written by copying. */
export function bytes(count: number): Field<Uint8Array<SharedArrayBuffer>> {
  requireBytes('bytes', count);
  return Object.freeze({ format: 'bytes', size: count, align: 1, atomic: false });
}

/**
 * A pointer to an item of the zone of the struct named `target`; `ownership` says who frees that item.
 * Its value is an `ItemReference`, or undefined.
 */
export function pointer(target: string, ownership: PointerOwnership): Field<Reference | undefined> {
  requireTarget('pointer', target);
  if (ownership !== 'owned' && ownership !== 'borrowed') {
    throw new ArgumentError(`pointer to ${target}: ownership is 'owned' or 'borrowed'`);
  }
  return Object.freeze({ format: 'pointer', size: 8, align: 4, atomic: false, ownership, target });
}

/**
 * A pointer that others follow without holding the item: one atomic word with an address (0 = none).
 * Never owned: whoever unlinks the item frees it, in an SMR zone when its readers may still be there.
 */
export function atomicPointer(target: string): AtomicField<number> {
  requireTarget('atomicPointer', target);
  return Object.freeze({
    format: 'i32',
    size: 4,
    align: 4,
    atomic: true,
    ownership: 'borrowed',
    target,
  });
}

/** What a pointer field holds: an item's address and the generation of its life. */
export interface Reference {
  readonly address: number;
  readonly generation: number;
}

function requireBytes(what: string, count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > 65536) {
    throw new ArgumentError(`${what}: ${count} is not from 1 to 65536 bytes`);
  }
}

function requireTarget(what: string, target: string): void {
  if (typeof target !== 'string' || target === '') {
    throw new ArgumentError(`${what}: the target is the name of a struct`);
  }
}
