/**
 * The values of sysctl nodes: their C types, and how a value looks as bytes (little-endian LP64, as
 * amd64 kernels give it) and as text (as sysctl(8) prints it). Pure functions.
 */

/** `SYSCTL_ADD_*`: what the node is declared as. */
export type SysctlType =
  | 'int'
  | 'uint'
  | 'u8'
  | 'u16'
  | 'u32'
  | 's64'
  | 'u64'
  | 'long'
  | 'ulong'
  | 'string'
  | 'opaque';

/** Numbers up to 32 bits, bigints for 64, strings, and the bytes of opaque nodes. */
export type SysctlValue = number | bigint | string | Uint8Array;

interface Shape {
  /** Bytes; 0 = as long as the value. */
  readonly bytes: number;
  /** The format string that the kernel keeps with the node. */
  readonly format: string;
  readonly signed: boolean;
}

const SHAPES: Readonly<Record<SysctlType, Shape>> = {
  int: { bytes: 4, format: 'I', signed: true },
  uint: { bytes: 4, format: 'IU', signed: false },
  u8: { bytes: 1, format: 'CU', signed: false },
  u16: { bytes: 2, format: 'SU', signed: false },
  u32: { bytes: 4, format: 'IU', signed: false },
  s64: { bytes: 8, format: 'Q', signed: true },
  u64: { bytes: 8, format: 'QU', signed: false },
  long: { bytes: 8, format: 'L', signed: true },
  ulong: { bytes: 8, format: 'LU', signed: false },
  string: { bytes: 0, format: 'A', signed: false },
  opaque: { bytes: 0, format: 'S', signed: false },
};

/** Bytes of a value of this type; 0 when that depends on the value. */
export function sysctlBytes(type: SysctlType): number {
  return SHAPES[type].bytes;
}

/** The kernel's format string: `I`, `IU`, `QU`, `A`, ... */
export function sysctlFormat(type: SysctlType): string {
  return SHAPES[type].format;
}

/**
 * The value as the kernel copies it out: integers little-endian, cut to their width; a string as
 * UTF-8 with its NUL; opaque bytes as they are.
 */
export function encodeSysctl(type: SysctlType, value: SysctlValue): Uint8Array {
  if (value instanceof Uint8Array) return value.slice();
  if (typeof value === 'string') return new TextEncoder().encode(`${value}\0`);
  const { bytes } = SHAPES[type];
  const encoded = new Uint8Array(8);
  new DataView(encoded.buffer).setBigInt64(0, BigInt(value), true);
  return encoded.slice(0, bytes);
}

/**
 * The value that these bytes are: undefined when their number is not that of the type. Integers of
 * 64 bits come as bigint, others as number; a string ends at its NUL.
 */
export function decodeSysctl(type: SysctlType, bytes: Uint8Array): SysctlValue | undefined {
  const shape = SHAPES[type];
  if (type === 'opaque') return bytes.slice();
  if (type === 'string') {
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
  if (bytes.length !== shape.bytes) return undefined;
  const wide = new Uint8Array(8);
  wide.set(bytes);
  const raw = new DataView(wide.buffer).getBigUint64(0, true);
  const bits = shape.bytes * 8;
  const value = shape.signed ? BigInt.asIntN(bits, raw) : raw;
  return bits === 64 ? value : Number(value);
}

/** The value as sysctl(8) prints it: decimal, or the text; opaque bytes as `Length:N`. */
export function printSysctl(value: SysctlValue): string {
  return value instanceof Uint8Array ? `Length:${value.length}` : String(value);
}
