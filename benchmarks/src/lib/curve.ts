/** A cost over a growing measure of work, as one line for people. */

import type { Figures } from './row.ts';

/** `curve over zones: 1 5.2, 2 5.3, 64 6.1 ns`. One figure per point. */
export function curve(
  over: string,
  points: readonly string[],
  figures: readonly Figures[],
): string {
  const parts = figures.map(({ min }, index) => `${points[index]} ${min.toFixed(2)}`);
  return `curve over ${over}: ${parts.join(', ')} ns`;
}
