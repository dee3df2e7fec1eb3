/**
 * Chains of four pieces of 1400 bytes against bl and uint8arraylist.
 *
 *   versus.bl.chain             build, share, consume all of the share, drop both
 *   versus.uint8arraylist.share share and drop: the peer copies references within one thread, we
 *                               count atomically, so that any thread may drop the share
 *   versus.uint8arraylist.read  all bytes, contiguous, in ordinary memory
 */

import { BufferList } from 'bl';
import { type Address, NULL } from '@umbuf/memory';
import { FreebsdType, M_PKTHDR as PKTHDR, MbufHeader, Mbufs } from '@umbuf/mbuf';
import { M_NOWAIT as NOWAIT } from '@umbuf/uma';
import { Uint8ArrayList } from 'uint8arraylist';
import { compare, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem } from '../lib/system.ts';

const M_PKTHDR = PKTHDR;
const M_NOWAIT = NOWAIT;
const LEN = MbufHeader.fields.len.at;
const { MT_DATA } = FreebsdType;
const SEGMENTS = 4;
const SEGMENT_BYTES = 1400;
const BYTES: number = SEGMENTS * SEGMENT_BYTES;
const PASS = 64;

export function measure(name: string, effort: Effort): Measurement {
  const mbufs = Mbufs.attach(bootSystem(64).uma);
  switch (name) {
    case 'versus.bl.chain':
      return compare(chainSide(mbufs), blSide(), effort);
    case 'versus.uint8arraylist.share':
      return compare(shareSide(mbufs), sublistSide(), effort);
    case 'versus.uint8arraylist.read':
      return compare(readSide(mbufs), sliceSide(), effort);
    default:
      throw new Error(`no row ${name}`);
  }
}

function repeated(name: string, once: () => void): Side {
  return {
    name,
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) once();
    },
  };
}

/** Four clusters as a driver hands them up: the bytes are in them, their lengths are set. */
function buildChain(mbufs: Mbufs): Address {
  const { words } = mbufs;
  let head: Address = NULL;
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const m = mbufs.getcl(M_NOWAIT, MT_DATA, head === NULL ? M_PKTHDR : 0);
    words[(m >> 2) + LEN] = SEGMENT_BYTES;
    head = mbufs.add(head, m);
  }
  mbufs.fixhdr(head);
  return head;
}

function chainSide(mbufs: Mbufs): Side {
  return repeated('mbufs', () => {
    const chain = buildChain(mbufs);
    const share = mbufs.copym(chain, 0, mbufs.copyAll, M_NOWAIT);
    mbufs.adj(share, BYTES);
    mbufs.freem(share);
    mbufs.freem(chain);
  });
}

function blSide(): Side {
  const pieces = Array.from({ length: SEGMENTS }, () => Buffer.alloc(SEGMENT_BYTES));
  return repeated('bl: append, duplicate, consume', () => {
    const list = new BufferList();
    for (let segment = 0; segment < SEGMENTS; segment++) list.append(pieces[segment]!);
    list.duplicate().consume(BYTES);
  });
}

function shareSide(mbufs: Mbufs): Side {
  const chain = buildChain(mbufs);
  return repeated('m_copym, m_freem', () => {
    mbufs.freem(mbufs.copym(chain, 0, mbufs.copyAll, M_NOWAIT));
  });
}

function list(): Uint8ArrayList {
  return new Uint8ArrayList(
    ...Array.from({ length: SEGMENTS }, () => new Uint8Array(SEGMENT_BYTES)),
  );
}

function sublistSide(): Side {
  const source = list();
  let length = 0;
  return repeated('uint8arraylist: sublist', () => {
    length += source.sublist().length;
    if (length < 0) throw new Error('no length');
  });
}

function readSide(mbufs: Mbufs): Side {
  const chain = buildChain(mbufs);
  const target = new Uint8Array(BYTES);
  return repeated('m_copydata to a Uint8Array', () => mbufs.copydata(chain, 0, BYTES, target));
}

function sliceSide(): Side {
  const source = list();
  let sum = 0;
  return repeated('uint8arraylist: slice', () => {
    sum += source.slice()[0]!;
    if (sum !== 0) throw new Error('wrong byte');
  });
}
