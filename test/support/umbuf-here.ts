/**
 * The command line of the checkout in this process: for the many short calls of which only output and
 * exit code matter. What a child process would print is caught from the standard streams, so one call
 * at a time.
 */

import { vi } from 'vitest';

export interface Output {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const built = new URL('../../packages/cli/dist/main.js', import.meta.url).href;

/** `umbuf ...args`, here. */
export async function umbufHere(args: readonly string[]): Promise<Output> {
  const { main } = (await import(built)) as {
    main: (args: readonly string[]) => Promise<number>;
  };
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const caught = [catchInto(process.stdout, out), catchInto(process.stderr, err)];
  try {
    const code = await main(args);
    return { code, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
  } finally {
    for (const each of caught) each.mockRestore();
  }
}

function catchInto(
  stream: NodeJS.WriteStream,
  into: Buffer[],
): { readonly mockRestore: () => void } {
  return vi.spyOn(stream, 'write').mockImplementation((chunk: Uint8Array | string) => {
    into.push(Buffer.from(chunk as string));
    return true;
  });
}
