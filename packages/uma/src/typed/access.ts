/**
 * Reading and writing a struct's fields at an address: plain functions over captured views, without any
 * allocation for numbers. They trust their arguments, as the named fast calls do: the caller holds the
 * item (plain fields), or knows that it is alive (atomic fields). Typed items (item.ts) check first.
 *
 * Explored code uses these: `interleave` cannot suspend the accessors of a typed item.
 */

import type { Arena } from '@umbuf/memory';
import { bigintCheck, floatCheck, integerCheck, refused } from './field-check.ts';
import type { Field, Format, Reference } from './field.ts';
import type { Fields, Struct, ValueOf } from './struct.ts';

/** One field of one thread; `address` is the item's. */
export interface Access<Value> {
  /** Reads the field: plainly, or by `Atomics.load`. */
  readonly get: (address: number) => Value;
  /** Writes it: plainly, or by `Atomics.store`. Numbers wrap as in a typed array. */
  readonly set: (address: number, value: Value) => void;
  /** Throws `FieldValueError` unless `value` can be stored without loss. */
  readonly check: (value: Value) => void;
}

/** What atomic fields have besides: `Atomics` by their names, each returning the old value. */
export interface AtomicAccess<Value> extends Access<Value> {
  readonly add: (address: number, value: Value) => Value;
  readonly exchange: (address: number, value: Value) => Value;
  readonly compareExchange: (address: number, expected: Value, value: Value) => Value;
}

/** The accesses of a struct by field name. */
export type Accesses<F extends Fields> = {
  readonly [Key in keyof F]: F[Key] extends { readonly atomic: true }
    ? AtomicAccess<ValueOf<F[Key]>>
    : Access<ValueOf<F[Key]>>;
};

/** Views of the arena in the widths that words, longs and bytes do not have. */
interface Views {
  readonly i8: Int8Array;
  readonly u8: Uint8Array<SharedArrayBuffer>;
  readonly i16: Int16Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i64: BigInt64Array<SharedArrayBuffer>;
  readonly u64: BigUint64Array<SharedArrayBuffer>;
}

/** The functions of every field of `struct` over one arena. */
export function createAccesses<F extends Fields>(arena: Arena, struct: Struct<F>): Accesses<F> {
  const views = viewsOf(arena);
  const accesses: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(struct.fields)) {
    const at = struct.offsets[key]!;
    const what = `${struct.name}.${key}`;
    accesses[key] = field.atomic
      ? atomicAccess(views, field, at, what)
      : access(views, field, at, what);
  }
  return accesses as Accesses<F>;
}

function atomicAccess(views: Views, field: Field<unknown>, at: number, what: string): unknown {
  if (field.format === 'i64') return atomic64(views.i64, at, what);
  return atomic32(field.format === 'u32' ? views.u32 : views.i32, field.format, at, what);
}

function atomic32(
  view: Int32Array<SharedArrayBuffer> | Uint32Array<SharedArrayBuffer>,
  format: Format,
  at: number,
  what: string,
): AtomicAccess<number> {
  return {
    get: (address) => Atomics.load(view, (address + at) >> 2),
    set: (address, value) => {
      Atomics.store(view, (address + at) >> 2, value);
    },
    check: integerCheck(format, what),
    add: (address, value) => Atomics.add(view, (address + at) >> 2, value),
    exchange: (address, value) => Atomics.exchange(view, (address + at) >> 2, value),
    compareExchange: (address, expected, value) =>
      Atomics.compareExchange(view, (address + at) >> 2, expected, value),
  };
}

function atomic64(
  view: BigInt64Array<SharedArrayBuffer>,
  at: number,
  what: string,
): AtomicAccess<bigint> {
  return {
    get: (address) => Atomics.load(view, (address + at) >> 3),
    set: (address, value) => {
      Atomics.store(view, (address + at) >> 3, value);
    },
    check: bigintCheck('i64', what),
    add: (address, value) => Atomics.add(view, (address + at) >> 3, value),
    exchange: (address, value) => Atomics.exchange(view, (address + at) >> 3, value),
    compareExchange: (address, expected, value) =>
      Atomics.compareExchange(view, (address + at) >> 3, expected, value),
  };
}

function access(views: Views, field: Field<unknown>, at: number, what: string): unknown {
  switch (field.format) {
    case 'bool':
      return boolAccess(views.u8, at, what);
    case 'i64':
    case 'u64':
      return element(views[field.format] as BigInt64Array, 3, at, bigintCheck(field.format, what));
    case 'f32':
    case 'f64':
      return element(views[field.format], field.format === 'f32' ? 2 : 3, at, floatCheck(what));
    case 'utf8':
      return textAccess(views.u8, field.size, at, what);
    case 'bytes':
      return bytesAccess(views.u8, field.size, at, what);
    case 'pointer':
      return pointerAccess(views.i32, at, what);
    default:
      return element(
        views[field.format],
        Math.log2(field.size),
        at,
        integerCheck(field.format, what),
      );
  }
}

/** A typed-array element at `address + at`. */
function element<Value extends number | bigint>(
  view: { [index: number]: Value },
  shift: number,
  at: number,
  check: (value: Value) => void,
): Access<Value> {
  return {
    get: (address) => view[(address + at) >> shift]!,
    set: (address, value) => {
      view[(address + at) >> shift] = value;
    },
    check,
  };
}

function boolAccess(view: Uint8Array, at: number, what: string): Access<boolean> {
  return {
    get: (address) => view[address + at] !== 0,
    set: (address, value) => {
      view[address + at] = value ? 1 : 0;
    },
    check: (value) => {
      if (typeof value !== 'boolean') throw refused(what, value, 'a boolean');
    },
  };
}

function pointerAccess(words: Int32Array, at: number, what: string): Access<Reference | undefined> {
  return {
    get: (address) => {
      const word = (address + at) >> 2;
      if (words[word] === 0) return undefined;
      return { address: words[word]!, generation: words[word + 1]! };
    },
    set: (address, value) => {
      const word = (address + at) >> 2;
      words[word] = value === undefined ? 0 : value.address;
      words[word + 1] = value === undefined ? 0 : value.generation;
    },
    check: (value) => {
      if (value === undefined) return;
      if (!Number.isInteger(value?.address) || !Number.isInteger(value.generation)) {
        throw refused(what, value, 'a typed item, a reference to one, or undefined');
      }
    },
  };
}

function textAccess(
  view: Uint8Array<SharedArrayBuffer>,
  size: number,
  at: number,
  what: string,
): Access<string> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  return {
    get: (address) => {
      // A private copy: browsers' decoders refuse shared views.
      const copy = view.slice(address + at, address + at + size);
      const end = copy.indexOf(0);
      return decoder.decode(end < 0 ? copy : copy.subarray(0, end));
    },
    set: (address, value) => {
      const encoded = encoder.encode(value).subarray(0, size);
      view.set(encoded, address + at);
      view.fill(0, address + at + encoded.length, address + at + size);
    },
    check: (value) => {
      if (typeof value !== 'string') throw refused(what, value, 'a string');
      const { length } = encoder.encode(value);
      if (length > size)
        throw refused(what, value, `at most ${size} bytes of UTF-8, not ${length}`);
      if (value.includes('\0'))
        throw refused(what, value, 'a string without U+0000, which ends it');
    },
  };
}

function bytesAccess(
  view: Uint8Array<SharedArrayBuffer>,
  size: number,
  at: number,
  what: string,
): Access<Uint8Array> {
  return {
    get: (address) => view.subarray(address + at, address + at + size),
    set: (address, value) => {
      view.set(value, address + at);
      view.fill(0, address + at + value.length, address + at + size);
    },
    check: (value) => {
      if (!(value instanceof Uint8Array)) throw refused(what, value, 'a Uint8Array');
      if (value.length > size) {
        throw refused(what, value.length, `a number of bytes up to ${size}`);
      }
    },
  };
}

const known = new WeakMap<Arena, Views>();

function viewsOf(arena: Arena): Views {
  const made = known.get(arena);
  if (made !== undefined) return made;
  const { buffer, length } = arena.bytes;
  const views: Views = {
    i8: new Int8Array(buffer, 0, length),
    u8: arena.bytes,
    i16: new Int16Array(buffer, 0, length >> 1),
    u16: new Uint16Array(buffer, 0, length >> 1),
    i32: arena.words,
    u32: new Uint32Array(buffer, 0, length >> 2),
    f32: new Float32Array(buffer, 0, length >> 2),
    f64: new Float64Array(buffer, 0, length >> 3),
    i64: arena.longs,
    u64: new BigUint64Array(buffer, 0, length >> 3),
  };
  known.set(arena, views);
  return views;
}
