/**
 * Making an SMR (`smr_create`), finding it by name, and giving it to a zone (`uma_zone_set_smr`).
 * Under the registry lock. An SMR's record is built where nobody looks and published by the head of
 * the list, so a creator that dies leaves nothing. SMRs are never removed: each costs some hundred
 * bytes per CPU, and a list that only grows is walked without a lock.
 */

import { DebugLevel, STATIC_NEXT, staticSpace, TableFullError } from '@umbuf/memory';
import { encodeName, type ZoneDefinition } from '../definition.ts';
import { ZoneFlag } from '../flags.ts';
import { FailureSite, injected } from '../inject.ts';
import { CacheRecord, Feature, UmaRoot, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';
import { zoneCache } from '../zone-domain.ts';
import { INVARIANTS_SEQUENCES, PRODUCTION_SEQUENCES } from './sequence.ts';
import { smrCpu, SmrCpuRecord, SmrRecord, smrWords } from './smr-layout.ts';

const SMRS = UmaRoot.fields.smrs.at;
const S = SmrRecord.fields;
const Z = ZoneRecord.fields;
const C = CacheRecord.fields;

/** Word indices of all SMRs, the last made first. */
export function allSmrs(uma: Uma): number[] {
  const { words } = uma;
  const all: number[] = [];
  let smr = Atomics.load(words, uma.root + SMRS);
  for (; smr !== 0; smr = words[smr + S.next.at]!) all.push(smr);
  return all;
}

/** Name of the SMR at word index `smr`. */
export function smrName(uma: Uma, smr: number): string {
  const { bytes } = uma;
  const at = (smr + S.name.at) * 4;
  // A private copy: TextDecoder refuses shared views in browsers.
  const copy = bytes.slice(at, at + S.name.count * 4);
  const end = copy.indexOf(0);
  return new TextDecoder().decode(copy.subarray(0, end < 0 ? copy.length : end));
}

/** Word index of the SMR of that name, made when absent. Under the registry lock. */
export function findOrMakeSmr(uma: Uma, name: string): number {
  for (const known of allSmrs(uma)) if (smrName(uma, known) === name) return known;
  const { words, cpu, arena, root } = uma;
  const bytes = smrWords(arena.cpus) * 4;
  const address = injected(uma, FailureSite.smrRecord) ? 0 : staticSpace(cpu, bytes);
  if (address === 0) throw new TableFullError(`smr ${name}: no pages for its record`);
  const smr = address >> 2;
  const limits = arena.level >= DebugLevel.invariants ? INVARIANTS_SEQUENCES : PRODUCTION_SEQUENCES;
  words[smr + S.increment.at] = limits.increment;
  words[smr + S.maxDelta.at] = limits.maxDelta;
  words[smr + S.maxAdvance.at] = limits.maxAdvance;
  words[smr + S.next.at] = Atomics.load(words, root + SMRS);
  Atomics.store(words, smr + S.writeSequence.at, limits.initial);
  Atomics.store(words, smr + S.readSequence.at, limits.initial);
  uma.bytes.set(encodeName(name), (smr + S.name.at) * 4);
  const end = address + bytes;
  // straight
  Atomics.store(words, root + SMRS, smr);
  words[STATIC_NEXT] = end;
  // end
  return smr;
}

/** The SMR that a definition asks for, 0 = none. Under the registry lock. */
export function smrOfDefinition(uma: Uma, definition: ZoneDefinition, flags: number): number {
  if (definition.smr === undefined && (flags & ZoneFlag.SMR) === 0) return 0;
  return findOrMakeSmr(uma, definition.smr ?? definition.name);
}

/** Makes a zone that nobody uses yet an SMR zone. */
export function attachSmr(uma: Uma, zone: number, smr: number): void {
  const { words, arena } = uma;
  words[zone + Z.smr.at] = smr;
  words[zone + Z.flags.at]! |= ZoneFlag.SMR;
  words[zone + Z.features.at]! |= Feature.smr;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    words[cache + C.features.at]! |= Feature.smr;
    // An allocation is as long as in any zone.
    words[cache + C.freeFeatures.at]! |= Feature.smr;
  }
}

/**
 * Ends the read sections of a CPU whose thread is gone. Safe, and needs no look at what it read: a
 * thread that does not exist loads nothing any more, and its references went with its memory. What it
 * had freed or unlinked itself stands in its hand slots, which are put back with a tag of their own.
 */
export function endSections(uma: Uma, dead: number): void {
  const { words } = uma;
  for (const smr of allSmrs(uma)) {
    const reader = smrCpu(smr, dead);
    words[reader + SmrCpuRecord.fields.open.at] = 0;
    Atomics.store(words, reader, 0);
    Atomics.notify(words, reader);
  }
}
