/**
 * The WebAssembly kernels (kernel.wat) over one shared memory. The module is under 1 KiB, so it is
 * compiled synchronously, once per thread: a worker has its kernels before its first statement
 * that uses the arena. Called by createKernels only.
 */

import { kernelBytes } from './kernel.generated.ts';

/** What kernel.wat exports; index.ts describes each call. */
export interface KernelExports {
  readonly copy: (to: number, from: number, length: number) => void;
  readonly fill: (at: number, value: number, length: number) => void;
  readonly zero: (at: number, length: number) => void;
  readonly compare: (left: number, right: number, length: number) => number;
  readonly checksum: (at: number, length: number, sum: number, oddOffset: number) => number;
}

/** Compiled module of this thread; null when the engine refuses it, undefined before the first use. */
let compiled: WebAssembly.Module | null | undefined;

/** Module of this thread, or null without WebAssembly, threads or SIMD, or where a policy forbids it. */
function compile(): WebAssembly.Module | null {
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(kernelBytes)) return null;
  try {
    return new WebAssembly.Module(kernelBytes);
  } catch (error) {
    // A page's content security policy may forbid compiling though the bytes are valid. Anything
    // else is not ours to hide.
    if (error instanceof WebAssembly.CompileError) return null;
    throw error;
  }
}

/**
 * Instance over `memory`, or null when the engine cannot run the module. A memory that is not
 * shared does not match the module's import: WebAssembly.LinkError.
 */
export function instantiateKernel(memory: WebAssembly.Memory): KernelExports | null {
  compiled ??= compile();
  if (compiled === null) return null;
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  return instance.exports as unknown as KernelExports;
}
