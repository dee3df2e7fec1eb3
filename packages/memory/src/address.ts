/** Addresses and pages: byte offsets into the arena, never larger than 2^31 - 64 KiB. */

declare const addressBrand: unique symbol;

/** A byte offset in the arena; 0 is NULL, and page 0 is never handed out. */
export type Address = number & { readonly [addressBrand]: true };

/** The address that is no address: what an exhausted allocation returns. */
export const NULL: Address = 0 as Address;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;

/** Bytes that separate words which different threads write (two 64-byte lines). */
export const LINE_BYTES = 128;
export const LINE_WORDS = 32;

/** The largest arena: byte addresses stay far enough below 2^31 for an int32 sum. */
export const ARENA_BYTES_MAX: number = 2 ** 31 - 65536;
