/**
 * Linearizability by Wing and Gong's search with Lowe's memo: is there an order of the operations,
 * compatible with real time, that the sequential model allows? Histories here are short (at most
 * 31 operations), so the plain search is enough. An operation that never returned (its CPU died or
 * slept) may have taken effect or not.
 */
import type { HistoryEntry } from '../runtime/cpu.ts';

/** A sequential specification. States are values: `apply` returns new ones. */
export interface Model<S = any> {
  readonly name: string;
  readonly initial: S;
  /**
   * The states after the operation, if it may give this result in `state`; none if it may not.
   * With `returned` false the result is unknown: every possible state.
   */
  apply(
    state: S,
    name: string,
    args: readonly unknown[],
    result: unknown,
    returned: boolean,
  ): readonly S[];
  /** Equal for equal states; defaults to JSON. */
  key?(state: S): string;
}

/** True if the history has a linearization. Throws for more than 31 operations. */
export function isLinearizable(history: readonly HistoryEntry[], model: Model): boolean {
  const begun = history.filter(({ invoked }) => invoked >= 0);
  const n = begun.length;
  if (n > 31) throw new RangeError(`interleave: ${n} operations; linearizable takes at most 31`);
  // before[i]: operations that returned before i was invoked.
  const before = begun.map((b) => {
    let mask = 0;
    begun.forEach((a, i) => {
      if (a.returned >= 0 && a.returned < b.invoked) mask |= 1 << i;
    });
    return mask;
  });
  let needed = 0;
  begun.forEach((a, i) => {
    if (a.returned >= 0) needed |= 1 << i;
  });
  const seen = new Set<string>();
  const key = (state: unknown): string => model.key?.(state) ?? JSON.stringify(state);

  const search = (done: number, state: unknown): boolean => {
    if ((needed & ~done) === 0) return true;
    const memo = `${done}:${key(state)}`;
    if (seen.has(memo)) return false;
    seen.add(memo);
    for (let i = 0; i < n; i++) {
      const bit = 1 << i;
      if ((done & bit) !== 0 || ((before[i] as number) & ~done) !== 0) continue;
      const entry = begun[i] as HistoryEntry;
      const { name, args, result, returned } = entry;
      for (const next of model.apply(state, name, args, result, returned >= 0)) {
        if (search(done | bit, next)) return true;
      }
    }
    return false;
  };
  return search(0, model.initial);
}

/** The history as text: one operation a line, with its interval of steps. */
export function describeHistory(
  history: readonly HistoryEntry[],
  cpu: (c: number) => string,
): string[] {
  const show = (v: unknown): string =>
    typeof v === 'bigint' ? `${v}n` : (JSON.stringify(v) ?? 'undefined');
  return history
    .filter(({ invoked }) => invoked >= 0)
    .map(({ cpu: c, name, args, result, invoked, returned }) => {
      const call = `${name}(${args.map(show).join(', ')})`;
      const end = returned < 0 ? 'never returned' : `-> ${show(result)}`;
      return `${cpu(c)}: ${call} ${end}   [step ${invoked}..${returned < 0 ? '' : returned}]`;
    });
}
