/** Checks of what callers give the methods of a Zone. Each throws `ArgumentError`. */

import { ArgumentError } from '@umbuf/memory';

export function requireTimeout(name: string, timeoutMs: number): void {
  if (!(timeoutMs >= 0)) throw new ArgumentError(`${name}: timeoutMs ${timeoutMs} is below 0`);
}

export function checkRange(
  name: string,
  items: ArrayLike<number>,
  from: number,
  count: number,
): void {
  if (!Number.isInteger(from) || !Number.isInteger(count) || from < 0 || count < 0) {
    throw new ArgumentError(`${name}: from ${from} and count ${count} must be integers from 0`);
  }
  if (ArrayBuffer.isView(items) && from + count > items.length) {
    throw new ArgumentError(`${name}: ${from} + ${count} is behind the array's ${items.length}`);
  }
}
