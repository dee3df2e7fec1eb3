/**
 * Misuse of zones: typed errors that name zone, address and CPU. Each is thrown before anything
 * was changed. What cannot be the caller's doing is a `Panic` of @umbuf/memory.
 */

import { UmbufError } from '@umbuf/memory';

/** A definition that cannot be: the message names zone and field. */
export class ZoneDefinitionError extends UmbufError {
  override name = 'ZoneDefinitionError';
}

/** A zone of that name exists with other data (size, alignment, flags, callbacks, version). */
export class ZoneMismatchError extends UmbufError {
  override name = 'ZoneMismatchError';
}

/** The zone was destroyed, by whichever thread; nothing was changed. */
export class ZoneDestroyedError extends UmbufError {
  override name = 'ZoneDestroyedError';
}

/** The zone cannot be destroyed now: others are built on it, or an operation is under way. */
export class ZoneBusyError extends UmbufError {
  override name = 'ZoneBusyError';
}

/** `importItems` of a cache zone stored other than it said; what it stored was released. */
export class ImportError extends UmbufError {
  override name = 'ImportError';
}

/** A callback returned a promise; callbacks run between two statements and cannot be awaited. */
export class AsyncCallbackError extends UmbufError {
  override name = 'AsyncCallbackError';
}

/** Base of the errors that `free` throws from level `checks` on. */
export class FreeError extends UmbufError {
  override name = 'FreeError';
}

/** The address lies in no slab of this zone's keg (spec 3.8: "did not belong to zone"). */
export class WrongZoneError extends FreeError {
  override name = 'WrongZoneError';
}

/** The address lies outside the arena, or in no slab at all. */
export class WildFreeError extends WrongZoneError {
  override name = 'WildFreeError';
}

/** The bytes behind the item were written: its holder wrote past its end. The item stays live. */
export class RedzoneError extends FreeError {
  override name = 'RedzoneError';
}

/** The address is inside a slab of the zone but is no item's start. */
export class UnalignedFreeError extends FreeError {
  override name = 'UnalignedFreeError';
}

/** The item is not live: it was freed already, or never handed out. */
export class DoubleFreeError extends FreeError {
  override name = 'DoubleFreeError';
}

/** A value that a field of a typed item cannot hold; nothing was written. */
export class FieldValueError extends UmbufError {
  override name = 'FieldValueError';
}

/** A typed item whose life has ended: freed, handed over, or never there. */
export class StaleItemError extends UmbufError {
  override name = 'StaleItemError';
}

/** Owned pointers that do not make a tree, or lead into a zone that this thread has not opened. */
export class OwnershipError extends UmbufError {
  override name = 'OwnershipError';
}

/** A message that names an item of another arena or of another zone. */
export class ForeignItemError extends UmbufError {
  override name = 'ForeignItemError';
}
