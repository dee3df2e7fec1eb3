/**
 * The nodes under `debug` by whose writing something is done (spec 5.1). Reading them gives 0, as in
 * the kernel. Without a `Uma` (a dump of an arena) they are read-only.
 */

import { SysctlError, type SysctlNode, type SysctlValue } from '@umbuf/stats';
import { callLowMemoryHandlers } from '../low-memory.ts';
import { ANSWER_MS, reclaim, type ReclaimRequest } from '../reclaim.ts';
import type { Uma } from '../uma.ts';

/** `UMA_RECLAIM_*`. */
const REQUESTS: readonly (ReclaimRequest | undefined)[] = [undefined, 'drain', 'drain-cpu', 'trim'];
/** `VM_LOW_KMEM | VM_LOW_PAGES`. */
const LOW_MEMORY_FLAGS = 3;

/** Each with what it does to an arena; a `write` throws EINVAL before anything is done. */
export function requestNodes(uma: Uma | undefined): SysctlNode[] {
  return [
    node(
      uma,
      'debug.vm_lowmem',
      'set to trigger vm_lowmem event with given flags',
      triggerLowMemory,
    ),
    node(uma, 'debug.uma_reclaim', 'set to generate request to reclaim uma caches', reclaimAll),
    node(uma, 'debug.uma_reclaim_domain', '', reclaimDomain),
  ];
}

function node(
  uma: Uma | undefined,
  path: string,
  description: string,
  act: (uma: Uma, value: number, path: string) => void,
): SysctlNode {
  const readOnly: SysctlNode = { path, type: 'int', description, read: () => 0 };
  if (uma === undefined) return readOnly;
  return { ...readOnly, write: (value: SysctlValue) => act(uma, Number(value), path) };
}

function invalid(path: string, value: number): SysctlError {
  return new SysctlError('EINVAL', `${path}: ${value} is no request`);
}

function triggerLowMemory(uma: Uma, flags: number, path: string): void {
  if ((flags & ~LOW_MEMORY_FLAGS) !== 0) throw invalid(path, flags);
  if (flags === 0) return;
  callLowMemoryHandlers(uma);
  uma.rethrow();
}

function reclaimAll(uma: Uma, value: number, path: string): void {
  const request = REQUESTS[value];
  if (request === undefined) throw invalid(path, value);
  reclaim(uma, request);
}

/** The request in the low four bits, the domain above them. */
function reclaimDomain(uma: Uma, value: number, path: string): void {
  const request = REQUESTS[value & 0xf];
  const domain = value >> 4;
  if (request === undefined || domain < 0 || domain >= uma.arena.domains)
    throw invalid(path, value);
  reclaim(uma, request, undefined, ANSWER_MS, domain);
}
