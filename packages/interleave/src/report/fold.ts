/**
 * Folding of spin loops for the reports: rounds of one CPU, directly one after the other, that did
 * the same and changed nothing become one round with a count. Only what is shown is folded: replay and
 * lock step follow the events as they were.
 */
import type { TraceEvent } from './trace.ts';

/** An event with the number of rounds that it stands for. */
export interface FoldedEvent extends TraceEvent {
  /** At the end of a folded round: how often it was made; else 1. */
  readonly repeats: number;
  /** At the end of a folded round: how many events it has; else 0. */
  readonly round: number;
}

/** Longest loop body that is folded, in events. */
const LONGEST = 16;

/** The events, with the rounds of spin loops folded. */
export function fold(events: readonly TraceEvent[]): FoldedEvent[] {
  const out: FoldedEvent[] = [];
  for (let at = 0; at < events.length; ) {
    const { length, repeats } = roundAt(events, at);
    for (let i = 0; i < length; i++) {
      const event = events[at + i] as TraceEvent;
      const ends = i === length - 1;
      out.push({ ...event, repeats: ends ? repeats : 1, round: ends && repeats > 1 ? length : 0 });
    }
    at += length * repeats;
  }
  return out;
}

/** The shortest round that begins here and is repeated at once, else the event alone. */
function roundAt(
  events: readonly TraceEvent[],
  at: number,
): { readonly length: number; readonly repeats: number } {
  for (let length = 1; length <= LONGEST; length++) {
    const last = events[at + length - 1];
    // A round that did something, or that another CPU interrupted, is none.
    if (last === undefined || last.cpu !== events[at]?.cpu || !isQuiet(last)) break;
    let repeats = 1;
    while (isSame(events, at, at + repeats * length, length)) repeats++;
    if (repeats > 1) return { length, repeats };
  }
  return { length: 1, repeats: 1 };
}

function isSame(events: readonly TraceEvent[], a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const [one, other] = [events[a + i] as TraceEvent, events[b + i]];
    if (other === undefined || one.cpu !== other.cpu || one.kind !== other.kind) return false;
    if (one.where !== other.where || one.text !== other.text) return false;
    if (one.address !== other.address || one.raw !== other.raw || !isQuiet(other)) return false;
  }
  return true;
}

function isQuiet(event: TraceEvent): boolean {
  const { kind, old, now, changes } = event;
  return old === now && changes.length === 0 && kind !== 'notify' && kind !== 'dies';
}
