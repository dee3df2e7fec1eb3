/** The one error of the capture readers. Thrown by everything in this folder that reads a file. */

import { UmbufError } from '@umbuf/memory';

/**
 * A file that is no capture or cannot be read, or a record that cannot be right. `offset` is where
 * the file, record or block at fault begins, in bytes from the start of the file.
 */
export class CaptureError extends UmbufError {
  override name = 'CaptureError';
  readonly file: string;
  readonly offset: number;

  constructor(file: string, offset: number, reason: string, options?: ErrorOptions) {
    super(`${file}: at byte ${offset}: ${reason}`, options);
    this.file = file;
    this.offset = offset;
  }
}
