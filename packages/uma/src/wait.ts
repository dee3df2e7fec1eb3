/**
 * What a request with M_WAITOK sleeps for besides units of a limit (limit/sleep.ts): pages.
 */

import type { Uma } from './uma.ts';

/**
 * Sleeps until the keg may find pages for a slab; false when it is not to be waited for. What the
 * caller has in hand slots stays there. Not built yet: a request without pages fails as M_NOWAIT
 * does.
 */
export function waitForPages(_uma: Uma, _keg: number): boolean {
  return false;
}
