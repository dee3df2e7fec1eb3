/**
 * What concerns the mbuf system rather than one chain: send tags. In full at the functions
 * in send-tag.ts.
 */

import type { Address } from '@umbuf/memory';
import { requirePacketHeader } from './chain/header.ts';
import {
  type InterfaceHooks,
  interfaceTags,
  packetSendTag,
  registerInterface,
  type SendTagResult,
  setPacketSendTag,
  sndTagAlloc,
  sndTagDestroy,
  sndTagInit,
  sndTagRef,
  sndTagRele,
} from './send-tag.ts';
import { throwCallbackError } from './external/callbacks.ts';
import { TagMethods } from './tag-methods.ts';

export class SystemMethods extends TagMethods {
  // Send tags (send-tag.ts).

  /** Registers an interface's hooks in this thread, by number and a name that all threads share. */
  registerInterface(ifp: number, name: string, hooks: InterfaceHooks): void {
    registerInterface(this, ifp, name, hooks);
  }

  /** Send tags that hold a reference on the interface. */
  interfaceTags(ifp: number): number {
    return interfaceTags(this, ifp);
  }

  /** m_snd_tag_alloc: what the driver's hook answers; EOPNOTSUPP without one. */
  sndTagAlloc(ifp: number, params?: unknown): SendTagResult {
    return sndTagAlloc(this, ifp, params);
  }

  /** m_snd_tag_init: makes a tag, with one reference, of the driver's memory at `tag`. */
  sndTagInit(tag: Address, ifp: number, type: number): void {
    sndTagInit(this, tag, ifp, type);
  }

  /** m_snd_tag_ref: another reference for who has one. */
  sndTagRef(tag: Address): Address {
    return sndTagRef(this, tag);
  }

  /** m_snd_tag_rele: drops a reference; the last one runs the driver's free hook. */
  sndTagRele(tag: Address): void {
    sndTagRele(this, tag);
  }

  /** m_snd_tag_destroy: the same for who has the only reference. */
  sndTagDestroy(tag: Address): void {
    sndTagDestroy(this, tag);
  }

  /** Gives the packet the tag, with the caller's reference, in place of its interface. */
  setSendTag(m: Address, tag: Address): void {
    requirePacketHeader(this, 'setSendTag', m);
    setPacketSendTag(this, m, tag);
    throwCallbackError(this);
  }

  /** The packet's send tag, or NULL. */
  sendTag(m: Address): Address {
    requirePacketHeader(this, 'sendTag', m);
    return packetSendTag(this, m);
  }
}
