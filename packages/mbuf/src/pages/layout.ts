/**
 * The records of page mbufs (M_EXTPG, "unmapped" mbufs): the block that says what the pages hold, and the
 * TLS session that a page mbuf may carry a reference to. The addresses of the pages, the header and the
 * trailer bytes stand in `ExternalRecord`.
 *
 * The block overlays the packet header (m_dat): no mbuf has both. Each user of the storage has its own
 * copy of block, pages, header and trailer; whose pages go back are the holder's.
 */

import { checkLayout } from '@umbuf/memory';

/** The EXTPG block of `struct mbuf` (m_epg_*). */
export const ExtPages = {
  name: 'm_epg',
  words: 14,
  fields: {
    npgs: { at: 0, type: 'i32', kind: 'owned', what: 'm_epg_npgs: pages, 0 to 5' },
    nrdy: {
      at: 1,
      type: 'i32',
      kind: 'owned',
      what: 'm_epg_nrdy: pages whose input or output is not done',
    },
    hdrlen: { at: 2, type: 'i32', kind: 'owned', what: 'm_epg_hdrlen: header bytes, 0 to 23' },
    trllen: { at: 3, type: 'i32', kind: 'owned', what: 'm_epg_trllen: trailer bytes, 0 to 64' },
    firstOff: {
      at: 4,
      type: 'i32',
      kind: 'owned',
      what: 'm_epg_1st_off: where the data begins in the first page',
    },
    lastLen: { at: 5, type: 'i32', kind: 'owned', what: 'm_epg_last_len: bytes in the last page' },
    flags: { at: 6, type: 'i32', kind: 'owned', what: 'm_epg_flags: EpgFlag' },
    recordType: { at: 7, type: 'i32', kind: 'owned', what: 'm_epg_record_type: TLS record type' },
    encCnt: {
      at: 8,
      type: 'i32',
      kind: 'owned',
      what: 'm_epg_enc_cnt: mbufs of the record that are still to be encrypted',
    },
    tls: {
      at: 9,
      type: 'i32',
      kind: 'owned',
      what: 'm_epg_tls: address of a TLS session, 0 = none',
    },
    so: { at: 10, type: 'i32', kind: 'owned', what: 'm_epg_so: the socket, of whoever encrypts' },
    link: {
      at: 11,
      type: 'i32',
      kind: 'owned',
      what: 'm_epg_stailq: next holder on the TLS queue',
    },
    seqno: { at: 12, type: 'i64', kind: 'owned', what: 'm_epg_seqno: TLS sequence number' },
  },
} as const;

/** `m_epg_flags`. */
export const EpgFlag = {
  /** The pages are of no file: they may be encrypted in place. */
  EPG_FLAG_ANON: 0x1,
  /** On the TLS queue to be freed, not to be encrypted. */
  EPG_FLAG_2FREE: 0x2,
} as const;

/** `struct ktls_session`: what is counted here is who still needs it. */
export const KtlsSession = {
  name: 'ktls_session',
  words: 4,
  fields: {
    count: { at: 0, type: 'i32', kind: 'atomic', what: 'references: sockets, and page mbufs' },
    argument: { at: 1, type: 'i32', kind: 'owned', what: 'whatever its creator keeps there' },
  },
} as const;

for (const layout of [ExtPages, KtlsSession]) checkLayout(layout);
