/** Which roles of the pipeline run on which CPU. */

/** `driver`, `tap`, or the number of a protocol CPU's role. */
export type RoleName = 'driver' | 'tap' | number;

/**
 * The roles of each CPU. One CPU runs them all in turn. With two, the tap stays with the driver:
 * both are cheap beside checksums and digests. From three on the tap has a CPU of its own, and all
 * others but the driver's are protocol CPUs.
 */
export function placeRoles(cpus: number): RoleName[][] {
  if (cpus === 1) return [['driver', 0, 'tap']];
  if (cpus === 2) return [['driver', 'tap'], [0]];
  const protocols = Array.from({ length: cpus - 2 }, (_, number) => [number]);
  return [['driver'], ...protocols, ['tap']];
}

/** Protocol roles among that many CPUs. */
export function protocolCount(cpus: number): number {
  return Math.max(1, cpus - 2);
}
