/** Hashes of texts that threads compare instead of the texts: names, definitions. Pure. */

/** 32-bit FNV-1a over the UTF-8 of `text`, as an int32. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
