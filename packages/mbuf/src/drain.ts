/**
 * m_reclaim: asks protocols and interfaces to give mbufs back. Their hooks are functions of this thread;
 * each runs without a lock held, once per call, protocols first, in the order of their registration.
 */

import { MbufError } from './errors.ts';
import type { MbufCore } from './core.ts';
import { MbufRoot } from './layout.ts';

const DRAINS = MbufRoot.fields.drains.at;

/** Who gives memory back: pr_drain of a protocol, if_drain of an interface. */
export type DrainKind = 'protocol' | 'interface';

/** A registered hook. */
export interface DrainHook {
  readonly kind: DrainKind;
  readonly drain: () => void;
}

/** Registers a hook in this thread; the function returned takes it out again. */
export function registerDrain(mbufs: MbufCore, kind: DrainKind, drain: () => void): () => void {
  if (typeof drain !== 'function') throw new MbufError(`registerDrain: ${kind}: no function`);
  const hook = { kind, drain };
  mbufs.drainHooks.push(hook);
  return () => {
    const at = mbufs.drainHooks.indexOf(hook);
    if (at >= 0) mbufs.drainHooks.splice(at, 1);
  };
}

/**
 * Runs the hooks and counts a reclaim (mbstat.m_drain). Returns how many of each kind ran. What a hook
 * throws is thrown behind the last one, the first error only.
 */
export function drainAll(mbufs: MbufCore): Readonly<Record<DrainKind, number>> {
  const ran = { protocol: 0, interface: 0 };
  let failure: unknown;
  let failed = false;
  for (const kind of ['protocol', 'interface'] as const) {
    for (const hook of mbufs.drainHooks.filter((each) => each.kind === kind)) {
      try {
        hook.drain();
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
      ran[kind]++;
    }
  }
  Atomics.add(mbufs.words, mbufs.root + DRAINS, 1);
  if (failed) throw failure;
  return ran;
}

/** Reclaims so far, of all CPUs (mbstat.m_drain). */
export function drainCount(mbufs: Pick<MbufCore, 'words' | 'root'>): number {
  return Atomics.load(mbufs.words, mbufs.root + DRAINS);
}
