/**
 * Schedules as text: `0x5.1x9.0x1` is five steps of CPU 0, nine of CPU 1, one of CPU 0. `1!` is the
 * death of CPU 1, `0^2` a notify of CPU 0 that wakes the third sleeper first. Time-outs are steps
 * of the sleeping CPU. Behind the last choice a replay goes on with the CPU that ran last, or the
 * lowest one that can.
 */
import { CPU_MASK, DIE, PICK } from '../runtime/choice.ts';
import { mortal } from '../runtime/death.ts';
import type { Machine } from '../runtime/machine.ts';
import { lowest, type Strategy } from './strategy.ts';

/** Choices as text. */
export function format(choices: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < choices.length; ) {
    const choice = choices[i] as number;
    const c = choice & CPU_MASK;
    if ((choice & DIE) !== 0) {
      parts.push(`${c}!`);
      i++;
    } else if (choice >= PICK) {
      parts.push(`${c}^${choice >>> 9}`);
      i++;
    } else {
      let k = 1;
      while (choices[i + k] === choice) k++;
      parts.push(`${c}x${k}`);
      i += k;
    }
  }
  return parts.join('.');
}

/** Text as choices; throws a SyntaxError that names the part it cannot read. */
export function parse(text: string): number[] {
  const choices: number[] = [];
  if (text.trim() === '') return choices;
  for (const part of text.trim().split('.')) {
    const match = /^(\d+)(?:x(\d+)|(!)|\^(\d+))$/.exec(part);
    if (match === null) {
      throw new SyntaxError(
        `interleave: '${part}' in the schedule '${text}' (expected 0x5, 0! or 0^1)`,
      );
    }
    const c = Number(match[1]);
    if (match[3] !== undefined) choices.push(c | DIE);
    else if (match[4] !== undefined) choices.push(c + PICK * Number(match[4]));
    else for (let i = Number(match[2]); i > 0; i--) choices.push(c);
  }
  return choices;
}

/** CPU switches of a schedule. */
export function switches(choices: readonly number[]): number {
  let n = 0;
  for (let i = 1; i < choices.length; i++) if (choices[i] !== choices[i - 1]) n++;
  return n;
}

/** Follows a schedule as far as it can; skips choices that are not possible. */
export class Follow implements Strategy {
  readonly name: string = 'replay';
  readonly #choices: readonly number[];
  #at: number = 0;
  #left: number = 1;
  /** Choices that were not possible. */
  skipped: number = 0;

  constructor(choices: readonly number[]) {
    this.#choices = choices;
  }

  begin(): boolean {
    this.#at = 0;
    this.skipped = 0;
    return this.#left-- > 0;
  }

  pick(machine: Machine, enabled: number): number {
    while (this.#at < this.#choices.length) {
      const choice = this.#choices[this.#at++] as number;
      const bit = 1 << (choice & CPU_MASK);
      if ((choice & DIE) !== 0) {
        if ((mortal(machine) & bit) !== 0) return choice;
      } else if ((enabled & bit) !== 0) {
        return choice;
      }
      this.skipped++;
    }
    const { last } = machine;
    return last >= 0 && (enabled >>> last) & 1 ? last : lowest(enabled);
  }

  end(): boolean {
    return false;
  }
}
