/**
 * Typed items that nobody freed: from level `checks` on, an owning object that is collected while its
 * item still lives is reported with the place where it was allocated. The item is not freed: its address
 * may stand in another item, and a collector's time is no part of any program's meaning.
 */

import { DebugLevel } from '@umbuf/memory';
import { isLive, itemGeneration } from '../item-table.ts';
import type { Uma } from '../uma.ts';
import type { Item, Life } from './item.ts';

/** A forgotten item. */
export interface ForgottenItem {
  readonly zone: string;
  readonly address: number;
  readonly generation: number;
  /** The CPU in whose thread the object was made, and where. */
  readonly cpu: number;
  readonly stack: string;
}

interface Remembered extends ForgottenItem {
  readonly uma: Uma;
  readonly entry: number;
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

/** Watches an object that owns its item. */
export function remember(item: Item, life: Life): void {
  const { uma, name } = life.zone.zone;
  if (uma.arena.level < DebugLevel.checks) return;
  const { address, generation, entry } = life;
  const stack = new Error('allocated here').stack ?? '';
  const cpu = uma.cpu.number;
  registry.register(item, { uma, zone: name, address, generation, entry, cpu, stack }, item);
}

/** The object has come to its end in order. */
export function forget(item: Item): void {
  registry.unregister(item);
}

/** Only what still lives in the same generation was forgotten: others may have freed it by address. */
function report({ uma, entry, ...item }: Remembered): void {
  if (!isLive(uma, entry) || itemGeneration(uma, entry) !== item.generation) return;
  for (const listener of listeners) listener(item);
  if (listeners.size > 0) return;
  console.warn(
    `umbuf: the item at ${item.address} of zone ${item.zone}, CPU ${item.cpu}, was never freed\n${item.stack}`,
  );
}
