/**
 * Objects over shared memory that nobody freed: from level `checks` on, an owning object (a typed item, a
 * Packet of @umbuf/mbuf) that is collected while what it owned still lives is reported with the place where
 * it was made. Nothing is freed: its address may stand in another item, and a collector's time is no part
 * of any program's meaning.
 */

import { DebugLevel } from '@umbuf/memory';
import type { Uma } from '../uma.ts';
import type { Reference } from './field.ts';

/** A forgotten item. */
export interface ForgottenItem {
  readonly zone: string;
  readonly address: number;
  readonly generation: number;
  /** The CPU in whose thread the object was made, and where. */
  readonly cpu: number;
  readonly stack: string;
}

/** What an owning object owns. It must not lead to the object, which would then never be collected. */
export interface OwnedLife extends Reference {
  /** Whether it lives still, in the same generation: others may have freed it by address. */
  readonly lives: () => boolean;
}

interface Remembered {
  readonly life: OwnedLife;
  readonly zone: string;
  readonly cpu: number;
  readonly stack: string;
}

const listeners = new Set<(item: ForgottenItem) => void>();
const registry = new FinalizationRegistry<Remembered>(report);

/**
 * Calls `listener` for every forgotten item of this thread, until the function returned is called. While
 * nobody listens they go to `console.warn`.
 */
export function onForgotten(listener: (item: ForgottenItem) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Watches an object that owns an item of the zone of that name; nothing below level `checks`. */
export function rememberOwner(object: object, uma: Uma, zone: string, life: OwnedLife): void {
  if (uma.arena.level < DebugLevel.checks) return;
  const stack = new Error('allocated here').stack ?? '';
  registry.register(object, { life, zone, cpu: uma.cpu.number, stack }, object);
}

/** The object has come to its end in order. */
export function forgetOwner(object: object): void {
  registry.unregister(object);
}

function report({ life, zone, cpu, stack }: Remembered): void {
  if (!life.lives()) return;
  const { address, generation } = life;
  const item: ForgottenItem = { zone, address, generation, cpu, stack };
  for (const listener of listeners) listener(item);
  if (listeners.size > 0) return;
  console.warn(
    `umbuf: the item at ${address} of zone ${zone}, CPU ${cpu}, was never freed\n${stack}`,
  );
}
