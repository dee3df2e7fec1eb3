/** Terminal output: a live line on stderr, numbers for people, plain tables. */

import { styleText } from 'node:util';

/** `1.2M`, `345k`, `12`: a number in about four characters. */
export function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)}k`;
  return String(Math.round(value));
}

/** A line that is redrawn in place on a terminal, and printed every two seconds elsewhere. */
export class LiveLine {
  private printedAt = 0;
  private width = 0;

  show(text: string): void {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${text.padEnd(this.width)}`);
      this.width = text.length;
      return;
    }
    const now = performance.now();
    if (now - this.printedAt < 2000) return;
    this.printedAt = now;
    process.stderr.write(`${text}\n`);
  }

  /** Ends the line. */
  end(): void {
    if (process.stderr.isTTY && this.width > 0) process.stderr.write('\n');
    this.width = 0;
  }
}

/** Columns aligned: the first to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return `${[line(head), ...rows.map(line)].join('\n')}\n`;
}

export function good(text: string): string {
  return process.stdout.isTTY ? styleText('green', text) : text;
}

export function bad(text: string): string {
  return process.stdout.isTTY ? styleText('red', text) : text;
}
