/**
 * SMRs as a thread opens them: one `Smr` object per thread and SMR, so that nesting is seen whoever
 * asks; and `uma_zone_set_smr`, which changes a zone that nobody has used.
 */

import { ArgumentError, enterCpu, lockRegistry, unlockRegistry } from '@umbuf/memory';
import { encodeName } from '../definition.ts';
import { ZoneDefinitionError } from '../errors.ts';
import { giveBackTo, handHeight } from '../hands.ts';
import { ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';
import { readZoneStatistics } from '../zone-statistics.ts';
import { attachSmr, findOrMakeSmr, smrName } from './create.ts';
import { Smr } from './smr.ts';

const Z = ZoneRecord.fields;
const opened = new WeakMap<Uma, Map<number, Smr>>();

/** The SMR of that name, made when the arena has none. Throws `ArgumentError`, `TableFullError`. */
export function openSmr(uma: Uma, name: string): Smr {
  if (typeof name !== 'string' || name.length === 0 || encodeName(name).length > 63) {
    throw new ArgumentError(`smr name ${JSON.stringify(name)}: 1 to 63 bytes of UTF-8`);
  }
  const record = underRegistry(uma, () => findOrMakeSmr(uma, name));
  return smrAt(uma, record);
}

/** This thread's object of the SMR at word index `record`. */
export function smrAt(uma: Uma, record: number): Smr {
  let known = opened.get(uma);
  if (known === undefined) opened.set(uma, (known = new Map()));
  let smr = known.get(record);
  if (smr === undefined) {
    known.set(record, (smr = new Smr(uma.cpu, smrName(uma, record), record)));
  }
  return smr;
}

/**
 * Gives a zone an SMR (`uma_zone_set_smr`). Throws `ZoneDefinitionError`, with nothing changed,
 * when the zone has one already, when items were allocated from it, or when another CPU has it open
 * (its fast path would go on as before): then name the SMR in the definition.
 */
export function setZoneSmr(uma: Uma, zone: number, smr: Smr): void {
  const { words, cpu } = uma;
  const fail = (what: string): never => {
    throw new ZoneDefinitionError(`zone ${uma.zoneName(zone)}: setSmr: ${what}`);
  };
  if (smr.cpu !== cpu) fail(`smr ${smr.name} was opened by another thread or in another arena`);
  underRegistry(uma, () => {
    if (words[zone + Z.smr.at] !== 0) fail('it is an SMR zone already');
    if (readZoneStatistics(uma, zone).allocs > 0) fail('items were allocated from it');
    for (let group = 0; group < Z.openers.count; group++) {
      const own = group === cpu.number >> 5 ? 1 << (cpu.number & 31) : 0;
      const openers = Atomics.load(words, zone + Z.openers.at + group);
      if ((openers & ~own) !== 0) fail('another CPU has it open');
    }
    attachSmr(uma, zone, smr.record);
  });
}

function underRegistry<Result>(uma: Uma, work: () => Result): Result {
  const { cpu } = uma;
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    return work();
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
}
