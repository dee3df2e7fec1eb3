/** Reads a capture file of Node whole into memory: the only file here that knows `node:fs`. */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { CaptureError } from './capture-error.ts';
import type { PacketCursor } from './packet-cursor.ts';
import { openCapture } from './read-capture.ts';

/**
 * A cursor before the first packet of the file at `path`. Errors name the path; `captureName`
 * gives the name that facts carry. A file must be smaller than 2 GiB.
 * @throws CaptureError where it cannot be read (`cause` is Node's error) or is no capture.
 */
export function openCaptureFile(path: string): PacketCursor {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CaptureError(path, 0, `cannot be read: ${reason}`, { cause: error });
  }
  return openCapture(path, bytes);
}

/** The capture's name without its folder. */
export function captureName(path: string): string {
  return basename(path);
}
