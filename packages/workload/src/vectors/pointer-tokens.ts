/** Pointers of m_print's text as the format writes them: by identity, never by address. */

import type { Address } from '@umbuf/memory';
import { ExternalRecord, M_EXT, M_PKTHDR, MbufHeader, type PointerFormat } from '@umbuf/mbuf';
import { areaStart } from './state.ts';
import type { World } from './world.ts';

const FLAGS = MbufHeader.fields.flags.at;
const BUF = ExternalRecord.fields.buf.at;
/** Offsets of the two areas in NetBSD's mbuf. */
const PLAIN = 56;
const PACKET = 112;
const PAGE_BYTES = 4096;

/** The formatter of one world. */
export function pointerTokens(world: World): PointerFormat {
  const { words, ext } = world.mbufs;
  return (kind, value, m) => {
    const flags = words[(m >> 2) + FLAGS]!;
    const buf = words[(m >> 2) + ext + BUF]!;
    switch (kind) {
      case 'mbuf':
        return value === 0 ? '<null>' : `<m${world.ids.get(value)}>`;
      case 'data': {
        const offset = value - areaStart(world, m);
        if ((flags & M_EXT) !== 0) return within(`x${world.storageIds.get(buf)}`, offset);
        return within(`m${world.ids.get(m)}`, offset + ((flags & M_PKTHDR) !== 0 ? PACKET : PLAIN));
      }
      case 'storage':
        return `<x${world.storageIds.get(value)}>`;
      case 'interface':
        return value === 0 ? '<null>' : `<if ${value}>`;
      case 'function':
        return world.argumentOf(buf) === undefined ? '<null>' : '<fn ext_free>';
      case 'argument':
        return argument(world, buf, value);
      case 'page':
        return `<page ${(value - buf) / PAGE_BYTES + 1}>`;
      case 'owner':
        return `<owner ${world.ownerName(value as Address)}>`;
    }
  };
}

function within(name: string, offset: number): string {
  return offset === 0 ? `<${name}>` : `<${name}+${offset}>`;
}

/** A cluster's argument is its pool, the driver's its number; malloc has none. */
function argument(world: World, buf: number, id: number): string {
  const given = world.argumentOf(buf);
  if (given !== undefined) return `<arg ${given}>`;
  return id === 0 && !world.isMalloc(buf) ? '<pool mclpl>' : '<null>';
}
