/**
 * Copies between the arena and ordinary byte arrays, which WebAssembly cannot reach. Called through
 * Kernels only; callers have checked both ranges. `source` and `target` may be views of the arena
 * itself, but a range that overlaps the other side is for Kernels.copy.
 */

/** Up to this many bytes a loop beats `set`, which costs 60-80 ns before the first byte. */
const LOOP_BYTES = 32;

/** copyIn of Kernels over `bytes`. */
export function createCopyIn(
  bytes: Uint8Array<SharedArrayBuffer>,
): (to: number, source: Uint8Array, sourceOffset: number, length: number) => void {
  return (to, source, sourceOffset, length) => {
    if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) bytes[to + i] = source[sourceOffset + i]!;
    } else if (sourceOffset === 0 && length === source.length) {
      bytes.set(source, to);
    } else {
      bytes.set(source.subarray(sourceOffset, sourceOffset + length), to);
    }
  };
}

/** copyOut of Kernels over `bytes`. */
export function createCopyOut(
  bytes: Uint8Array<SharedArrayBuffer>,
): (from: number, target: Uint8Array, targetOffset: number, length: number) => void {
  return (from, target, targetOffset, length) => {
    if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) target[targetOffset + i] = bytes[from + i]!;
    } else {
      target.set(bytes.subarray(from, from + length), targetOffset);
    }
  };
}
