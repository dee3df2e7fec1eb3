/** The one error of the packet pipeline itself; what is wrong with a file is a CaptureError. */

import { UmbufError } from '@umbuf/memory';

/**
 * The pipeline could not finish a capture: the arena stayed exhausted, a CPU waited in vain for
 * another, a shared copy changed, or mbufs were left over. The message says which.
 */
export class PipelineError extends UmbufError {
  override name = 'PipelineError';
}

/** Thrown inside a CPU whose run another CPU has ended; never leaves its task. */
export class StoppedError extends UmbufError {
  override name = 'StoppedError';
}
