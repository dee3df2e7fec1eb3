/**
 * Misuse of mbufs: typed errors that name the operation, the address and the CPU where that helps.
 * Each is thrown before anything was changed, unless its docstring says otherwise. Exhaustion is a
 * return value. Where the kernels panic with a text, the message begins with that text.
 */

import { UmbufError } from '@umbuf/memory';

/** Base of all errors of the mbuf layer. */
export class MbufError extends UmbufError {
  override name = 'MbufError';
}

/** The arena's mbuf system exists with another preset or other settings. */
export class PresetMismatchError extends MbufError {
  override name = 'PresetMismatchError';
}

/** The address is no mbuf: NULL, outside the arena, not aligned, or never one. */
export class NotMbufError extends MbufError {
  override name = 'NotMbufError';
}

/** The mbuf was freed already (also when it is parked for others that share its storage). */
export class FreedMbufError extends MbufError {
  override name = 'FreedMbufError';
}

/** The chain is longer than the arena can hold mbufs: it runs in a circle. */
export class ChainLoopError extends MbufError {
  override name = 'ChainLoopError';
}

/** Offset and length do not lie inside the chain, or the length cannot be met by any mbuf. */
export class ChainRangeError extends MbufError {
  override name = 'ChainRangeError';
}

/** The operation needs a packet header that the mbuf lacks, or would put it over another. */
export class PacketHeaderError extends MbufError {
  override name = 'PacketHeaderError';
}

/** A packet that is not as a packet should be (m_verify_packet). */
export class PacketError extends MbufError {
  override name = 'PacketError';
}

/** A packet tag that cannot be: its id or length, or the list it is said to be on. */
export class TagError extends MbufError {
  override name = 'TagError';
}

/** The data is read-only: shared, or mapped so. */
export class ReadOnlyError extends MbufError {
  override name = 'ReadOnlyError';
}

/** The mbuf has external storage where it may not, or has none where it must, or of another type. */
export class ExternalStorageError extends MbufError {
  override name = 'ExternalStorageError';
}

/** A send tag that cannot be, or that this thread could not free. */
export class SendTagError extends MbufError {
  override name = 'SendTagError';
}

/**
 * The operation needs a page mbuf (M_EXTPG) or takes none, or its pages are not as they can be; or the
 * preset has no page mbufs.
 */
export class PageMbufError extends MbufError {
  override name = 'PageMbufError';
}

/** An ext_free id that this thread has not registered, or that means another function elsewhere. */
export class ExternalFreeError extends MbufError {
  override name = 'ExternalFreeError';
  /** The mbuf that could not be freed. `freem` has freed what was in front of it, nothing behind. */
  readonly mbuf: number;

  constructor(message: string, mbuf: number = 0) {
    super(message);
    this.mbuf = mbuf;
  }
}
