/**
 * A recorded program's handles and its operations as calls of ours. Arguments and results are as the format
 * has them (test/vectors); comparing is run-program.ts.
 */

import { type Address, NULL, UmbufError } from '@umbuf/memory';
import { M_NOWAIT, M_WAITOK } from '@umbuf/uma';
import {
  M_PKTHDR,
  MbufHeader,
  type Mbufs,
  NetbsdType,
  PacketHeader,
  TAG_HEADER_BYTES,
} from '@umbuf/mbuf';
import { pointerTokens } from './pointer-tokens.ts';
import { areaStart, byteString, chainOf, FLAGS } from './state.ts';
import type { World } from './world.ts';

const H = MbufHeader.fields;
const P = PacketHeader.fields;

/** Arguments and results of operations, whose shape depends on the operation. */
export type Args = Record<string, any>;

export interface Operation {
  readonly op: string;
  readonly args: Args;
  readonly fail?: Record<string, number | boolean>;
  readonly result: Args;
}

export interface Program {
  readonly id: string;
  readonly config: { readonly max_linkhdr?: number; readonly max_protohdr?: number };
  readonly init: readonly Args[];
  readonly start: Args;
  readonly ops: readonly Operation[];
  readonly final: Args | null;
}

/** `pattern(seed, n)` of the format. */
export function pattern(seed: number, length: number): Uint8Array {
  let x = Math.imul(seed, 2654435761);
  return Uint8Array.from({ length: Math.max(0, length) }, () => {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    return (x >>> 16) & 0xff;
  });
}

const typeOf = (name: string): number => NetbsdType[name as keyof typeof NetbsdType];
const howOf = (how: string): number => (how === 'wait' ? M_WAITOK : M_NOWAIT);

/** A run's handles, and what an operation gave back. */
export class RecordedRun {
  readonly world: World;
  readonly handles: Map<string, Address> = new Map();
  private created = 0;

  constructor(world: World) {
    this.world = world;
  }

  get mbufs(): Mbufs {
    return this.world.mbufs;
  }

  handle(name: string | null | undefined): Address {
    return name == null ? NULL : this.handles.get(name)!;
  }

  /** A non-null address gets the next handle. */
  create(m: Address): string | null {
    if (m === NULL) return null;
    const name = `h${this.created++}`;
    this.handles.set(name, m);
    return name;
  }

  /** The handle stands for another address from now on, or is gone. */
  replace(name: string, m: Address): string | null {
    if (m === NULL) this.handles.delete(name);
    else this.handles.set(name, m);
    return m === NULL ? null : name;
  }

  fill(m: Address, off: number, len: number, seed: number): void {
    const { words, bytes } = this.mbufs;
    const data = areaStart(this.world, m) + off;
    words[(m >> 2) + H.data.at] = data;
    words[(m >> 2) + H.len.at] = len;
    bytes.set(pattern(seed, len), data);
  }

  setHeader(m: Address, header: Args): void {
    const { words, pkthdr } = this.mbufs;
    const base = (m >> 2) + pkthdr;
    words[base + P.len.at] = header['len'];
    words[base + P.csumFlags.at] = header['csum_flags'] ?? 0;
    words[base + P.csumData.at] = header['csum_data'] ?? 0;
    words[base + P.segsz.at] = header['segsz'] ?? 0;
    words[base + P.vlanTag.at] = header['vtag'] ?? 0;
    words[base + P.rcvif.at] = header['rcvif'] ?? 0;
  }

  addTag(m: Address, { tag: id, len, seed }: Args): void {
    const { mbufs } = this;
    const tag = mbufs.tagGet(id, len, M_WAITOK);
    if (tag === NULL) return;
    mbufs.bytes.set(pattern(seed, len), tag + TAG_HEADER_BYTES);
    mbufs.tagPrepend(m, tag);
  }

  build(chain: Args): void {
    const { mbufs, world } = this;
    const { words } = mbufs;
    let head: Address = NULL;
    let last: Address = NULL;
    for (const spec of chain['mbufs'] as Args[]) {
      const type = typeOf(spec['type']);
      const m = spec['pkthdr'] ? mbufs.gethdr(M_WAITOK, type) : mbufs.get(M_WAITOK, type);
      if (spec['store'] === 'cluster') mbufs.clget(m, M_WAITOK);
      if (spec['store'] === 'malloc') world.extmalloc(m, spec['size']);
      if (spec['store'] === 'ext') world.extadd(m, spec['size'], false, spec['rw'], spec['arg']);
      if (spec['store'] === 'loan') world.extadd(m, spec['size'], true, false, spec['arg']);
      if (spec['owner'] !== undefined) mbufs.claim(m, world.ownerOf(spec['owner']));
      this.fill(m, spec['off'], spec['len'], spec['seed']);
      for (const [name, bit] of FLAGS) {
        if (spec['flags']?.includes(name)) words[(m >> 2) + H.flags.at]! |= bit;
      }
      if (head === NULL) head = m;
      else words[(last >> 2) + H.next.at] = m;
      last = m;
    }
    if (chain['pkthdr'] !== undefined) {
      this.setHeader(head, chain['pkthdr']);
      for (const tag of (chain['pkthdr'].tags ?? []) as Args[]) this.addTag(head, tag);
    }
    this.create(head);
  }

  /** Length argument with the string COPYALL. */
  len(args: Args): number {
    return args['len'] === 'COPYALL' ? this.mbufs.copyAll : args['len'];
  }

  /** Runs one operation; `[ret, out]` as the format has them. */
  execute(op: string, args: Args): [unknown, unknown?] {
    const { mbufs, world } = this;
    const m = this.handle(args['m']);
    const name = args['m'] as string;
    const how = howOf(args['how']);
    switch (op) {
      case 'm_get':
        return [this.create(mbufs.get(how, typeOf(args['type'])))];
      case 'm_gethdr':
        return [this.create(mbufs.gethdr(how, typeOf(args['type'])))];
      case 'm_getcl':
        return [this.create(mbufs.getcl(how, typeOf(args['type']), args['pkthdr'] ? M_PKTHDR : 0))];
      case 'm_clget':
        mbufs.clget(m, how);
        return ['void'];
      case 'MEXTADD':
        world.extadd(m, args['size'], args['loan'], args['rw'], args['arg']);
        return ['void'];
      case 'MEXTMALLOC':
        world.extmalloc(m, args['size']);
        return ['void'];
      case 'm_align':
        mbufs.align(m, args['len']);
        return ['void'];
      case 'm_free':
        return [this.replace(name, mbufs.free(m))];
      case 'm_freem':
        mbufs.freem(m);
        this.handles.delete(name);
        return ['void'];
      case 'm_add': {
        const c = this.handle(args['c']);
        mbufs.add(c, m);
        if (c === NULL) return [name];
        this.handles.delete(name);
        return [args['c']];
      }
      case 'm_cat':
        mbufs.cat(m, this.handle(args['n']));
        this.handles.delete(args['n']);
        return ['void'];
      case 'm_append': {
        const source = pattern(args['seed'], args['len']);
        return [mbufs.append(m, args['len'], source) ? 1 : 0];
      }
      case 'M_PREPEND':
      case 'm_prepend': {
        const { len } = args as { len: number };
        const n = op === 'm_prepend' ? mbufs.prependMbuf(m, len, how) : mbufs.prepend(m, len, how);
        if (n !== NULL) {
          mbufs.bytes.set(pattern(args['seed'], len), mbufs.words[(n >> 2) + H.data.at]!);
        }
        return [this.replace(name, n)];
      }
      case 'm_copym':
        return [this.create(mbufs.copym(m, args['off'], this.len(args), how))];
      case 'm_dup':
        return [this.create(mbufs.dup(m, args['off'], this.len(args), how))];
      case 'm_copypacket':
        return [this.create(mbufs.copypacket(m, how))];
      case 'm_copydata': {
        const target = new Uint8Array(Math.max(0, args['len']));
        mbufs.copydata(m, args['off'], args['len'], target);
        return ['void', { data: byteString(target) }];
      }
      case 'm_adj':
        mbufs.adj(m, args['len']);
        return ['void'];
      case 'm_ensure_contig': {
        const done = mbufs.ensureContig(m, args['len']);
        this.replace(name, mbufs.head);
        return [done];
      }
      case 'm_pullup':
        return [this.replace(name, mbufs.pullup(m, args['len']))];
      case 'm_copyup':
        return [this.replace(name, mbufs.copyup(m, args['len'], args['dstoff']))];
      case 'm_split':
        return [this.create(mbufs.split(m, args['len'], how))];
      case 'm_devget': {
        const source = pattern(args['seed'], args['len']);
        const copy = (to: Address, from: unknown, at: number, length: number): void => {
          const bytes = (from as Uint8Array).subarray(at, at + length).map((byte) => byte ^ 0x55);
          mbufs.bytes.set(bytes, to);
        };
        const xor = args['copy'] === 'xor55' ? copy : undefined;
        return [this.create(mbufs.devget(source, args['len'], args['off'], args['rcvif'], xor))];
      }
      case 'm_copyback': {
        const len = this.len(args);
        const all = len < 0 && m !== NULL ? mbufs.length(m) - args['off'] : len;
        mbufs.copyback(m, args['off'], len, pattern(args['seed'], all));
        return ['void'];
      }
      case 'm_copyback_cow': {
        const source = pattern(args['seed'], args['len']);
        if (args['len'] === -1) throw new UmbufError('m_copyback_cow: len != M_COPYALL');
        const n = mbufs.copybackCow(m, args['off'], args['len'], source, how);
        return [this.replace(name, n)];
      }
      case 'm_makewritable': {
        const done = mbufs.makewritable(m, args['off'], this.len(args), how);
        this.replace(name, mbufs.head);
        return [done ? 0 : 'ENOBUFS'];
      }
      case 'm_defrag': {
        const n = mbufs.defrag(m, how);
        return [n === NULL ? null : this.replace(name, n)];
      }
      case 'm_move_pkthdr':
        mbufs.movePkthdr(this.handle(args['to']), this.handle(args['from']));
        return ['void'];
      case 'm_pkthdr_remove':
        mbufs.pkthdrRemove(m);
        return ['void'];
      case 'm_apply': {
        const segs: [number, string][] = [];
        const result = mbufs.apply(m, args['off'], args['len'], (address, length) => {
          segs.push([length, byteString(mbufs.bytes.slice(address, address + length))]);
          return segs.length === args['stop'] ? args['rv'] : 0;
        });
        return [result, { segs }];
      }
      case 'm_getptr': {
        const n = mbufs.getptr(m, args['loc']);
        if (n === NULL) return [null];
        return [this.position(m, n), { off: mbufs.offset }];
      }
      case 'm_length':
        return [mbufs.length(m) >>> 0];
      case 'm_pulldown': {
        const n = mbufs.pulldown(m, args['off'], args['len'], args['offp']);
        if (n === NULL) this.handles.delete(name);
        if (n === NULL) return [null];
        return [this.position(m, n), args['offp'] ? { off: mbufs.offset } : undefined];
      }
      case 'x_fill':
        this.fill(chainOf(world, m)[args['i']]!, args['off'], args['len'], args['seed']);
        if (args['fixlen']) mbufs.fixhdr(m);
        return ['void'];
      case 'x_addtag':
        this.addTag(m, args);
        return ['void'];
      case 'm_verify_packet':
        mbufs.verifyPacket(m);
        return ['void'];
      case 'm_claim':
      case 'm_claimm': {
        const owner = args['owner'] === null ? NULL : world.ownerOf(args['owner']);
        if (op === 'm_claim') mbufs.claim(m, owner);
        else mbufs.claimm(m, owner);
        return ['void'];
      }
      case 'm_reclaim': {
        const ran = mbufs.reclaim();
        const drains = { pr_drain: ran.protocol, if_drain: ran.interface };
        return ['void', { ...drains, m_drain: world.drains() }];
      }
      case 'm_print':
        return ['void', { text: mbufs.print(m, args['modif'], pointerTokens(world)) }];
      case 'x_fixlen':
        mbufs.fixhdr(m);
        return ['void'];
      case 'x_write': {
        const n = chainOf(world, m)[args['i']]!;
        const data = mbufs.words[(n >> 2) + H.data.at]! + args['off'];
        mbufs.bytes.set(pattern(args['seed'], args['len']), data);
        return ['void'];
      }
      default:
        throw new Error(`unknown operation ${op}`);
    }
  }

  private position(m: Address, n: Address): object {
    return { mbuf: this.world.ids.get(n), i: chainOf(this.world, m).indexOf(n) };
  }
}
