/**
 * Counts calls of Atomics functions: an instrumented run, of which the time means nothing. Every
 * caller looks the functions up in the global object, so replacing them there catches all.
 */

/** How many Atomics functions `work` calls. */
export function countAtomics(work: () => void): number {
  let calls = 0;
  const table = Atomics as unknown as Record<string, (...parts: unknown[]) => unknown>;
  const names = Object.getOwnPropertyNames(Atomics).filter(
    (name) => typeof table[name] === 'function',
  );
  const originals = names.map((name) => table[name]!);
  for (const [index, name] of names.entries()) {
    const original = originals[index]!;
    table[name] = (...parts) => {
      calls++;
      return original(...parts);
    };
  }
  try {
    Atomics.load(new Int32Array(1), 0);
    if (calls !== 1) throw new Error('the Atomics functions cannot be counted');
    calls = 0;
    work();
    return calls;
  } finally {
    for (const [index, name] of names.entries()) table[name] = originals[index]!;
  }
}
