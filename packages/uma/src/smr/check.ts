/**
 * Invariant 11 of spec section 9, for fsck: the sequences of every SMR and the sections of every
 * CPU. No CPU is inside an operation; sections may be open.
 */

import type { Uma } from '../uma.ts';
import { allSmrs, smrName } from './create.ts';
import { sequenceDelta } from './sequence.ts';
import { smrCpu, SmrCpuRecord, SmrRecord } from './smr-layout.ts';

const S = SmrRecord.fields;

/** What is broken, in words. */
export function smrViolations(uma: Uma): string[] {
  const violations: string[] = [];
  for (const smr of allSmrs(uma)) violations.push(...violationsOf(uma, smr));
  return violations;
}

function violationsOf(uma: Uma, smr: number): string[] {
  const { words, arena } = uma;
  const violations: string[] = [];
  const report = (what: string): void => {
    violations.push(`11: smr ${smrName(uma, smr)}: ${what}`);
  };
  const write = Atomics.load(words, smr + S.writeSequence.at);
  const read = Atomics.load(words, smr + S.readSequence.at);
  const distance = sequenceDelta(write, read);
  // Each CPU may overshoot by one increment, and by one more for each bucket that a recovery tags.
  const most = words[smr + S.maxDelta.at]! + 256 * words[smr + S.increment.at]!;
  if (distance < 0 || distance > most) report(`read ${read}, write ${write}`);
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const reader = smrCpu(smr, cpu);
    const sequence = Atomics.load(words, reader);
    const open = words[reader + SmrCpuRecord.fields.open.at]!;
    if ((sequence !== 0) !== (open === 1)) report(`CPU ${cpu}: sequence ${sequence}, open ${open}`);
    if (sequence !== 0 && sequenceDelta(sequence, write) > 0) {
      report(`CPU ${cpu} reads at ${sequence}, write ${write}`);
    }
  }
  return violations;
}
