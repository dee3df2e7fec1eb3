/** Packet tags under their kernel names without `m_`; in full at the functions in tag.ts. */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { ChainMethods } from './chain-methods.ts';
import { requirePacketHeader } from './chain/header.ts';
import {
  tagAlloc,
  tagCopy,
  tagCopyChain,
  tagDelete,
  tagDeleteChain,
  tagDeleteNonpersistent,
  tagFirst,
  tagFree,
  tagId,
  tagLength,
  tagLocate,
  tagNext,
  tagPrepend,
  tagUnlink,
} from './tag.ts';

export class TagMethods extends ChainMethods {
  /** m_tag_alloc: a tag with room for `length` bytes; NULL on exhaustion. */
  tagAlloc(cookie: number, id: number, length: number, how: number): Address {
    return tagAlloc(this, cookie, id, length, how);
  }

  /** NetBSD's m_tag_get: a tag of cookie 0. */
  tagGet(id: number, length: number, how: number): Address {
    return tagAlloc(this, 0, id, length, how);
  }

  /** m_tag_free: frees a tag that is on no list. */
  tagFree(tag: Address): void {
    tagFree(this, tag);
  }

  /** m_tag_prepend: puts a tag at the head of m's list. Throws PacketHeaderError without a header. */
  tagPrepend(m: Address, tag: Address): void {
    requirePacketHeader(this, 'm_tag_prepend', m);
    tagPrepend(this, m, tag);
  }

  /** m_tag_unlink: takes a tag off m's list. */
  tagUnlink(m: Address, tag: Address): void {
    requirePacketHeader(this, 'm_tag_unlink', m);
    tagUnlink(this, m, tag);
  }

  /** m_tag_delete: takes a tag off m's list and frees it. */
  tagDelete(m: Address, tag: Address): void {
    requirePacketHeader(this, 'm_tag_delete', m);
    tagDelete(this, m, tag);
  }

  /** m_tag_delete_chain: deletes every tag behind `start`, then it; with NULL all. */
  tagDeleteChain(m: Address, start: Address = NULL): void {
    requirePacketHeader(this, 'm_tag_delete_chain', m);
    tagDeleteChain(this, m, start);
  }

  /** m_tag_delete_nonpersistent: deletes the tags without MTAG_PERSISTENT. */
  tagDeleteNonpersistent(m: Address): void {
    requirePacketHeader(this, 'm_tag_delete_nonpersistent', m);
    tagDeleteNonpersistent(this, m);
  }

  /** m_tag_locate: the first tag of that cookie and id behind `start`. */
  tagLocate(m: Address, cookie: number, id: number, start: Address = NULL): Address {
    requirePacketHeader(this, 'm_tag_locate', m);
    return tagLocate(this, m, cookie, id, start);
  }

  /** m_tag_find: the first tag of cookie 0 and that id behind `start`. */
  tagFind(m: Address, id: number, start: Address = NULL): Address {
    return this.tagLocate(m, 0, id, start);
  }

  /** m_tag_copy: a copy on no list; NULL on exhaustion. */
  tagCopy(tag: Address, how: number = M_NOWAIT): Address {
    return tagCopy(this, tag, how);
  }

  /** m_tag_copy_chain: replaces to's tags by copies of from's; false, and none, on exhaustion. */
  tagCopyChain(to: Address, from: Address, how: number = M_NOWAIT): boolean {
    requirePacketHeader(this, 'm_tag_copy_chain', to);
    requirePacketHeader(this, 'm_tag_copy_chain', from);
    return tagCopyChain(this, to, from, how);
  }

  /** m_tag_first: the head of m's list, or NULL. */
  tagFirst(m: Address): Address {
    requirePacketHeader(this, 'm_tag_first', m);
    return tagFirst(this, m);
  }

  /** m_tag_next: the tag behind `tag`, or NULL. */
  tagNext(tag: Address): Address {
    return tagNext(this, tag);
  }

  /** m_tag_id: 0 to 65,535. */
  tagId(tag: Address): number {
    return tagId(this, tag);
  }

  /** m_tag_len: bytes of its data, which begin at `tag + TAG_HEADER_BYTES`. */
  tagLength(tag: Address): number {
    return tagLength(this, tag);
  }
}
