/**
 * Packet tags (m_tag(9)): small records in a list that hangs at a packet header and goes with the packet.
 * A tag is an item of one of the tag zones: 16 bytes of header, then its data. All its words are owned by
 * whoever holds the packet.
 *
 * Both kernels' names: NetBSD's tags are those of cookie 0. Ids and lengths are 16 bits, as in the kernels;
 * what does not fit is refused here and cut off there.
 */

import { type Address, NULL, TableFullError } from '@umbuf/memory';
import { defineZone, M_NOWAIT, type Zone } from '@umbuf/uma';
import type { MbufCore } from './core.ts';
import { TagError } from './errors.ts';
import { PacketHeader, TagRecord } from './layout.ts';

const TAGS = PacketHeader.fields.tags.at;
const T = TagRecord.fields;
const NEXT = T.next.at;
const COOKIE = T.cookie.at;
const ID = T.id.at;
const LENGTH = T.length.at;

/** Bytes of a tag in front of its data. */
export const TAG_HEADER_BYTES: number = TagRecord.words * 4;
/** Item sizes of the tag zones; a tag comes from the first that it fits. */
const TAG_ZONE_BYTES: readonly number[] = [32, 64, 128, 256, 1024, 4096, 16384, 65552];
/** Ids with this bit stay when the packet is handed to another layer (MTAG_PERSISTENT). */
export const MTAG_PERSISTENT = 0x800;

/**
 * A tag with room for `length` (0 to 65,535) bytes, not cleared (m_tag_alloc; m_tag_get with cookie 0).
 * `id` is 0 to 65,535, `cookie` 32 bits. NULL on exhaustion and for a negative length. Throws `TagError`.
 */
export function tagAlloc(
  mbufs: MbufCore,
  cookie: number,
  id: number,
  length: number,
  how: number,
): Address {
  if (!Number.isInteger(length) || length > 0xffff) {
    throw new TagError(`m_tag_alloc: length ${length} is not from 0 to 65535`);
  }
  if (!Number.isInteger(id) || id < 0 || id > 0xffff) {
    throw new TagError(`m_tag_alloc: id ${id} is not from 0 to 65535`);
  }
  if (length < 0) return NULL;
  const zone = tagZone(mbufs, rowFor(length));
  const tag = zone === undefined ? NULL : zone.alloc(how);
  if (tag === NULL) return NULL;
  const { words } = mbufs;
  const record = tag >> 2;
  words[record + NEXT] = 0;
  words[record + COOKIE] = cookie;
  words[record + ID] = id;
  words[record + LENGTH] = length;
  return tag;
}

/** Frees a tag that is on no list (m_tag_free). */
export function tagFree(mbufs: MbufCore, tag: Address): void {
  // Its allocation opened the zone, in some thread: this one can.
  tagZone(mbufs, rowFor(mbufs.words[(tag >> 2) + LENGTH]!))!.free(tag);
}

/** Puts a tag at the head of m's list (m_tag_prepend). */
export function tagPrepend(mbufs: MbufCore, m: Address, tag: Address): void {
  const { words } = mbufs;
  const head = listOf(mbufs, m);
  words[(tag >> 2) + NEXT] = words[head]!;
  words[head] = tag;
}

/** Takes a tag off m's list (m_tag_unlink). Throws `TagError` when it is not there. */
export function tagUnlink(mbufs: MbufCore, m: Address, tag: Address): void {
  const { words } = mbufs;
  let link = listOf(mbufs, m);
  while (words[link] !== tag) {
    if (words[link] === 0) throw new TagError(`m_tag_unlink: tag ${tag} is not on mbuf ${m}`);
    link = (words[link]! >> 2) + NEXT;
  }
  words[link] = words[(tag >> 2) + NEXT]!;
}

/** Takes a tag off m's list and frees it (m_tag_delete). Throws `TagError` when it is not there. */
export function tagDelete(mbufs: MbufCore, m: Address, tag: Address): void {
  tagUnlink(mbufs, m, tag);
  tagFree(mbufs, tag);
}

/** Deletes every tag behind `start`, then it; with NULL all of m's tags (m_tag_delete_chain). */
export function tagDeleteChain(mbufs: MbufCore, m: Address, start: Address = NULL): void {
  const { words } = mbufs;
  const first = start === NULL ? tagFirst(mbufs, m) : start;
  if (first === NULL) return;
  for (let next = words[(first >> 2) + NEXT]!; next !== 0; ) {
    const after = words[(next >> 2) + NEXT]!;
    words[(first >> 2) + NEXT] = after;
    tagFree(mbufs, next as Address);
    next = after;
  }
  tagDelete(mbufs, m, first);
}

/** Deletes all tags without MTAG_PERSISTENT in their id (m_tag_delete_nonpersistent). */
export function tagDeleteNonpersistent(mbufs: MbufCore, m: Address): void {
  for (let tag = tagFirst(mbufs, m); tag !== NULL; ) {
    const next = tagNext(mbufs, tag);
    if ((tagId(mbufs, tag) & MTAG_PERSISTENT) === 0) tagDelete(mbufs, m, tag);
    tag = next;
  }
}

/** The first tag of that cookie and id behind `start`, or of all with NULL (m_tag_locate, m_tag_find). */
export function tagLocate(
  mbufs: MbufCore,
  m: Address,
  cookie: number,
  id: number,
  start: Address = NULL,
): Address {
  const { words } = mbufs;
  let tag = start === NULL ? tagFirst(mbufs, m) : tagNext(mbufs, start);
  while (tag !== NULL && (words[(tag >> 2) + COOKIE] !== cookie || tagId(mbufs, tag) !== id)) {
    tag = tagNext(mbufs, tag);
  }
  return tag;
}

/** A copy of a tag, on no list; NULL on exhaustion (m_tag_copy). */
export function tagCopy(mbufs: MbufCore, tag: Address, how: number = M_NOWAIT): Address {
  const { words, kernels } = mbufs;
  const length = words[(tag >> 2) + LENGTH]!;
  const copy = tagAlloc(mbufs, words[(tag >> 2) + COOKIE]!, tagId(mbufs, tag), length, how);
  if (copy === NULL) return NULL;
  kernels.copy(copy + TAG_HEADER_BYTES, tag + TAG_HEADER_BYTES, length);
  return copy;
}

/**
 * Replaces to's tags by copies of from's, in their order (m_tag_copy_chain). False when one could not
 * be had: `to` has none then.
 */
export function tagCopyChain(
  mbufs: MbufCore,
  to: Address,
  from: Address,
  how: number = M_NOWAIT,
): boolean {
  const { words } = mbufs;
  tagDeleteChain(mbufs, to);
  let link = listOf(mbufs, to);
  for (let tag = tagFirst(mbufs, from); tag !== NULL; tag = tagNext(mbufs, tag)) {
    const copy = tagCopy(mbufs, tag, how);
    if (copy === NULL) {
      tagDeleteChain(mbufs, to);
      return false;
    }
    words[link] = copy;
    link = (copy >> 2) + NEXT;
  }
  return true;
}

/** The head of m's list, or NULL (m_tag_first). */
export function tagFirst(mbufs: MbufCore, m: Address): Address {
  return mbufs.words[listOf(mbufs, m)]! as Address;
}

/** The tag behind `tag`, or NULL (m_tag_next). */
export function tagNext(mbufs: MbufCore, tag: Address): Address {
  return mbufs.words[(tag >> 2) + NEXT]! as Address;
}

/** The tag's id, 0 to 65,535 (m_tag_id). */
export function tagId(mbufs: MbufCore, tag: Address): number {
  return mbufs.words[(tag >> 2) + ID]!;
}

/** Bytes of the tag's data (m_tag_len). They begin at `tag + TAG_HEADER_BYTES`. */
export function tagLength(mbufs: MbufCore, tag: Address): number {
  return mbufs.words[(tag >> 2) + LENGTH]!;
}

/** Tags that live, of all CPUs. */
export function liveTags(mbufs: MbufCore): number {
  let live = 0;
  for (const zone of mbufs.tagZones) live += zone?.statistics().live ?? 0;
  return live;
}

/** Word index of the head of m's list. */
function listOf(mbufs: MbufCore, m: Address): number {
  return (m >> 2) + mbufs.pkthdr + TAGS;
}

function rowFor(length: number): number {
  return TAG_ZONE_BYTES.findIndex((bytes) => bytes >= TAG_HEADER_BYTES + length);
}

/** The tag zone of that row, opened at its first use in this thread; undefined when there is no room. */
function tagZone(mbufs: MbufCore, row: number): Zone | undefined {
  const known = mbufs.tagZones[row];
  if (known !== undefined) return known;
  const size = TAG_ZONE_BYTES[row]!;
  try {
    return (mbufs.tagZones[row] = mbufs.uma.open(defineZone({ name: `mbuf_tag_${size}`, size })));
  } catch (error) {
    if (error instanceof TableFullError) return undefined;
    throw error;
  }
}
