/**
 * mbufs on one CPU: in batches of 128 against a batch of bare items, and the operations on a chain.
 * The mbuf and packet zones have buckets of 254 (MAXBUCKET in the kernel too), so that batches stay
 * in the per-CPU cache.
 */

import { NULL } from '@umbuf/memory';
import { FreebsdType, M_PKTHDR as PKTHDR, MCLBYTES, Mbufs, MbufHeader } from '@umbuf/mbuf';
import { M_NOWAIT as NOWAIT } from '@umbuf/uma';
import { BATCH as BATCH_OPERATIONS, zoneBatch } from '../lib/baseline.ts';
import { compare, measureAlone, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';
import { countAtomics } from '../lib/count-atomics.ts';

// Constants of this module, as in lib/baseline.ts.
const BATCH: number = BATCH_OPERATIONS;
const M_NOWAIT = NOWAIT;
const M_PKTHDR = PKTHDR;
const { MT_DATA } = FreebsdType;
const H = MbufHeader.fields;
const SEGMENTS = 4;
const SEGMENT_BYTES = 1400;
/** Operations of one pass over a single chain. */
const PASS = 64;

export function measure(name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(64);
  const mbufs = Mbufs.attach(uma);
  const batch = (): Side => ({
    name: 'zone.batch128',
    operations: BATCH,
    pass: zoneBatch(uma.open(itemZone)),
  });
  switch (name) {
    case 'mbuf.get':
      return compare({ name, operations: BATCH, pass: getPass(mbufs) }, batch(), effort);
    case 'mbuf.getcl':
      return compare({ name, operations: BATCH, pass: getclPass(mbufs) }, batch(), effort);
    case 'mbuf.copym4':
      return compare(copymSide(mbufs), atomicsSide(), effort);
    case 'mbuf.free.unshared':
      return unshared(mbufs, effort);
    case 'mbuf.copydata5600':
      return compare(copydataSide(mbufs), copyWithinSide(mbufs), effort);
    default:
      throw new Error(`no row ${name}`);
  }
}

function getPass(mbufs: Mbufs): () => void {
  const held = new Int32Array(BATCH);
  return () => {
    for (let index = 0; index < BATCH; index++) held[index] = mbufs.get(M_NOWAIT, MT_DATA);
    for (let index = 0; index < BATCH; index++) mbufs.free(held[index]! as typeof NULL);
  };
}

function getclPass(mbufs: Mbufs): () => void {
  const held = new Int32Array(BATCH);
  return () => {
    for (let index = 0; index < BATCH; index++) {
      held[index] = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
    }
    for (let index = 0; index < BATCH; index++) mbufs.free(held[index]! as typeof NULL);
  };
}

/** A packet of four clusters with 1400 bytes each, like a received jumbo frame's. */
function buildChain(mbufs: Mbufs): typeof NULL {
  const data = Uint8Array.from({ length: SEGMENT_BYTES }, (_, index) => index * 7);
  const head = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const m = segment === 0 ? head : mbufs.getcl(M_NOWAIT, MT_DATA, 0);
    mbufs.append(m, SEGMENT_BYTES, data);
    if (m !== head) mbufs.cat(head, m);
  }
  mbufs.fixhdr(head);
  let count = 0;
  for (let m: number = head; m !== NULL; m = mbufs.words[(m >> 2) + H.next.at]!) count++;
  if (count !== SEGMENTS || mbufs.length(head) !== SEGMENTS * SEGMENT_BYTES) {
    throw new Error(`a chain of ${count} mbufs, ${mbufs.length(head)} bytes`);
  }
  return head;
}

function copymSide(mbufs: Mbufs): Side {
  const chain = buildChain(mbufs);
  return {
    name: 'm_copym and m_freem of the copy',
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) {
        mbufs.freem(mbufs.copym(chain, 0, mbufs.copyAll, M_NOWAIT));
      }
    },
  };
}

/** The least that sharing four clusters and dropping them again can cost, on four lines. */
function atomicsSide(): Side {
  const words = new Int32Array(new SharedArrayBuffer(4096));
  return {
    name: '4 x (Atomics.add and Atomics.sub)',
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) {
        for (let segment = 0; segment < SEGMENTS; segment++) Atomics.add(words, segment * 64, 1);
        for (let segment = 0; segment < SEGMENTS; segment++) Atomics.sub(words, segment * 64, 1);
      }
    },
  };
}

/** Atomics calls per free, counted; the time beside it is that of `getcl` and `free` in turn. */
function unshared(mbufs: Mbufs, effort: Effort): Measurement {
  const frees = 100;
  const held = new Int32Array(frees);
  const fill = (): void => {
    for (let index = 0; index < frees; index++) {
      held[index] = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
    }
  };
  const freeAll = (): void => {
    for (let index = 0; index < frees; index++) mbufs.free(held[index]! as typeof NULL);
  };
  fill();
  freeAll();
  fill();
  const calls = countAtomics(freeAll);
  const timed = measureAlone({ name: 'pair', operations: BATCH, pass: getclPass(mbufs) }, effort);
  return {
    ...timed,
    ratio: calls / frees,
    note: `the ratio is Atomics calls per free (${calls} in ${frees}); the time is getcl and free`,
  };
}

function copydataSide(mbufs: Mbufs): Side {
  const chain = buildChain(mbufs);
  const target = targetOf(mbufs);
  const bytes = SEGMENTS * SEGMENT_BYTES;
  mbufs.copydata(chain, 0, bytes, target);
  for (let at = 0; at < bytes; at++) {
    if (mbufs.bytes[target + at] !== (((at % SEGMENT_BYTES) * 7) & 0xff)) {
      throw new Error(`wrong byte ${at} of the copy`);
    }
  }
  return {
    name: 'm_copydata',
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) mbufs.copydata(chain, 0, bytes, target);
    },
  };
}

/** The same bytes of another such chain by one copyWithin for each segment. */
function copyWithinSide(mbufs: Mbufs): Side {
  const { bytes, words } = mbufs;
  const chain = buildChain(mbufs);
  const target = targetOf(mbufs);
  const from: number[] = [];
  for (let m: number = chain; m !== NULL; m = words[(m >> 2) + H.next.at]!) {
    from.push(words[(m >> 2) + H.data.at]!);
  }
  return {
    name: 'copyWithin of each segment',
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) {
        for (let segment = 0; segment < SEGMENTS; segment++) {
          const at = from[segment]!;
          bytes.copyWithin(target + segment * SEGMENT_BYTES, at, at + SEGMENT_BYTES);
        }
      }
    },
  };
}

/** Room for the copy: three adjacent clusters' worth of one 9 KiB cluster. */
function targetOf(mbufs: Mbufs): typeof NULL {
  const buffer = mbufs.cljget(NULL, M_NOWAIT, 9216);
  if (buffer === NULL || SEGMENTS * SEGMENT_BYTES > 9216 - MCLBYTES) throw new Error('no target');
  return buffer;
}
