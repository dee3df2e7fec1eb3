/**
 * Where a failure was thrown, from its stack: the frames of the code under check and of the check,
 * without the explorer's and other packages'. Generators resume each other, so what called what is
 * there as usual.
 */

/** Most frames that are shown. */
const FRAMES = 6;

/** Lines `at function (file:line:column)`; none when the value has no stack. */
export function thrownAt(error: unknown): string[] {
  const stack = (error as { stack?: unknown } | null | undefined)?.stack;
  if (typeof stack !== 'string') return [];
  const frames = stack.split('\n').filter((line) => /^\s*at /.test(line));
  const own = frames.findIndex((line) =>
    /interleave[^()]*\/(src|dist)\/(runtime|search)\//.test(line),
  );
  return frames
    .slice(0, own < 0 ? frames.length : own)
    .filter((line) => !/\(<anonymous>\)|node:|node_modules|native/.test(line))
    .slice(0, FRAMES)
    .map(
      (line) =>
        `  ${line
          .trim()
          .replace('file://', '')
          .replace(/\?[^:)]*/, '')}`,
    );
}
