/**
 * The error classes of Umbuf. Misuse throws an `UmbufError` subclass and changes nothing;
 * exhaustion is a return value, never an error; a broken invariant is a `Panic`.
 */

/** Base of every error that Umbuf throws for a caller's mistake. */
export class UmbufError extends Error {
  override name = 'UmbufError';
}

/** An argument of the wrong type or outside its range. Nothing was changed. */
export class ArgumentError extends UmbufError {
  override name = 'ArgumentError';
}

/** A buffer that is no arena of this layout version: foreign, truncated or from another release. */
export class ArenaFormatError extends UmbufError {
  override name = 'ArenaFormatError';
}

/** No CPU number is free, or the named one cannot be claimed now. */
export class CpuUnavailableError extends UmbufError {
  override name = 'CpuUnavailableError';
}

/** A thread that may not block met a wait; the message names the asynchronous form. */
export class WouldBlockError extends UmbufError {
  override name = 'WouldBlockError';
}

/**
 * A thread that may not block found a lock held for longer than its bound. Nothing is lost: what
 * the operation had in its hands is put back when the CPU next leaves. Try again in a later job.
 */
export class LockBusyError extends UmbufError {
  override name = 'LockBusyError';
}

/** A fixed table of the arena is full; the message names the table and its size. */
export class TableFullError extends UmbufError {
  override name = 'TableFullError';
}

/**
 * A read section is open where none may be: the CPU would go idle or sleep in it (an `await` does
 * both), or wait for readers of whom it is one. Nothing was changed.
 */
export class SectionError extends UmbufError {
  override name = 'SectionError';
}

/** A broken invariant of the allocator itself: the arena can no longer be trusted. */
export class Panic extends Error {
  override name = 'Panic';
}
