/** What a command module exports. */
export interface Command {
  readonly help: string;
  /** Runs it; resolves to the exit code. Throws `UsageError` for words that are off. */
  run(args: readonly string[]): Promise<number>;
}
