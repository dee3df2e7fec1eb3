/**
 * What the transform says when it cannot go on: `TransformError`, one or more problems, each with
 * file, line, column, a code frame and what to do. Warnings have the same shape and go on.
 */

/** A place in a source file; `line` and `column` are 1-based. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that cannot be suspended, or could not be analysed. */
export interface Problem extends Place {
  /** What is wrong, one sentence without the place. */
  readonly message: string;
  /** What the author of the code can do about it. */
  readonly advice: string;
  /** The source line with its neighbours and a caret. */
  readonly frame: string;
}

/** Code under exploration that cannot be turned into a virtual CPU. Nothing was transformed. */
export class TransformError extends Error {
  override name = 'TransformError';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(describeProblem).join('\n\n'));
    const first = problems[0]!;
    this.file = first.file;
    this.line = first.line;
    this.column = first.column;
    this.problems = problems;
  }
}

/** `file:line:column: message`, the frame, and the advice. */
export function describeProblem(problem: Problem): string {
  const { file, line, column, message, frame, advice } = problem;
  return `${file}:${line}:${column}: ${message}\n${frame}\n  ${advice}`;
}

/** The line, one before and one after it, and a caret under the column. */
export function codeFrame(code: string, line: number, column: number): string {
  const lines = code.split('\n');
  const width = String(Math.min(line + 1, lines.length)).length;
  const frame: string[] = [];
  for (let number = Math.max(1, line - 1); number <= Math.min(lines.length, line + 1); number++) {
    const text = lines[number - 1]!.replace(/\t/g, ' ');
    frame.push(`${number === line ? '>' : ' '} ${String(number).padStart(width)} | ${text}`);
    if (number === line) frame.push(`  ${' '.repeat(width)} | ${' '.repeat(column - 1)}^`);
  }
  return frame.join('\n');
}
