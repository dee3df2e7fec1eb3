/** Sequences and sections of SMR: spec section 4, the wrap, the limits on lag, misuse, death. */

import { describe, expect, test } from 'vitest';
import {
  Arena,
  claimCpu,
  leaveCpu,
  LockBusyError,
  markDead,
  recover,
  releaseCpu,
  SectionError,
} from '@umbuf/memory';
import {
  fsck,
  INVARIANTS_SEQUENCES,
  PRODUCTION_SEQUENCES,
  type Smr,
  smrCpu,
  SmrRecord,
  sequenceDelta,
  Uma,
} from '../src/index.ts';
import { thrownBy, virtualCpus } from './support/virtual.ts';

const WRITE = SmrRecord.fields.writeSequence.at;
const READ = SmrRecord.fields.readSequence.at;

/** The same SMR as each of `cpus` virtual CPUs has it. */
function smrs(cpus: number, level: 'none' | 'invariants' = 'none'): Smr[] {
  return virtualCpus(cpus, { level }).umas.map((uma) => uma.smr('test'));
}

function sequences({ cpu, record }: Smr): { read: number; write: number } {
  return { read: cpu.words[record + READ]! >>> 0, write: cpu.words[record + WRITE]! >>> 0 };
}

/** Puts both sequences at `value`, as so many advances would have. */
function startAt({ cpu, record }: Smr, value: number): void {
  Atomics.store(cpu.words, record + WRITE, value | 0);
  Atomics.store(cpu.words, record + READ, value | 0);
}

test('the constants are those of subr_smr.c', () => {
  expect(PRODUCTION_SEQUENCES).toEqual({
    initial: 1,
    increment: 2,
    maxDelta: 1073741823,
    maxAdvance: 1073740799,
  });
  expect(INVARIANTS_SEQUENCES).toEqual({
    initial: (4294967295 - 100000) | 0,
    increment: 429496,
    maxDelta: 13743872,
    maxAdvance: 6871936,
  });
});

test.each([
  ['none', PRODUCTION_SEQUENCES],
  ['invariants', INVARIANTS_SEQUENCES],
] as const)('at level %s an SMR begins with its constants', (level, { initial, increment }) => {
  const [smr] = smrs(1, level);
  expect(sequences(smr!)).toEqual({ read: initial >>> 0, write: initial >>> 0 });
  const goal = smr!.advance();
  expect(goal).toBe((initial + increment) | 0);
  // The first advance of the test constants crosses the wrap.
  expect(goal >>> 0 < initial >>> 0).toBe(level === 'invariants');
  expect(smr!.poll(goal)).toBe(true);
  expect(sequences(smr!).read).toBe(goal >>> 0);
});

test('sequences compare by their difference, across the wrap', () => {
  expect(sequenceDelta(3, 1)).toBe(2);
  expect(sequenceDelta(1, -1)).toBe(2);
  expect(sequenceDelta(-1, 1)).toBe(-2);
  expect(sequenceDelta(-(2 ** 31), 2 ** 31 - 1)).toBe(1);
});

describe.each([
  ['far from the wrap', 1],
  ['before the wrap', 0xffff_fffd],
  ['at the change of sign', 0x7fff_fffd],
])('sequences %s', (_where, from) => {
  test('a goal is reached when the sections that were open at its advance have ended', () => {
    const [writer, first, second] = smrs(3);
    startAt(writer!, from);
    first!.enter();
    const goal = writer!.advance();
    second!.enter();
    expect(writer!.poll(goal)).toBe(false);
    second!.exit();
    expect(writer!.poll(goal)).toBe(false);
    first!.exit();
    expect(writer!.poll(goal)).toBe(true);
    expect(writer!.poll(goal)).toBe(true);
  });

  test('a section that entered behind the advance is not in the way', () => {
    const [writer, reader] = smrs(2);
    startAt(writer!, from);
    const goal = writer!.advance();
    reader!.enter();
    expect(writer!.poll(goal)).toBe(true);
    const next = writer!.advance();
    expect(writer!.poll(next)).toBe(false);
    reader!.exit();
    expect(writer!.synchronize()).toBe(true);
    expect(writer!.poll(next)).toBe(true);
  });

  test('the read sequence moves as far as the oldest section allows', () => {
    const [writer, first, second] = smrs(3);
    startAt(writer!, from);
    writer!.advance();
    first!.enter();
    const seen = sequences(writer!).write;
    writer!.advance();
    second!.enter();
    const goal = writer!.advance();
    expect(writer!.poll(goal)).toBe(false);
    expect(sequences(writer!).read).toBe(seen);
    first!.exit();
    second!.exit();
  });

  test('a goal from before the read sequence and one never given count as reached', () => {
    const [writer, reader] = smrs(2);
    startAt(writer!, from);
    const old = writer!.advance();
    expect(writer!.poll(old)).toBe(true);
    reader!.enter();
    writer!.advance();
    expect(writer!.poll((old - 2) | 0)).toBe(true);
    expect(writer!.poll((sequences(writer!).write + 2) | 0)).toBe(true);
    reader!.exit();
  });

  test('a reader that published a sequence of long ago is held for no older than the read sequence', () => {
    const [writer, reader] = smrs(2);
    startAt(writer!, from);
    const loaded = sequences(writer!).write;
    expect(writer!.synchronize()).toBe(true);
    expect(writer!.synchronize()).toBe(true);
    const { read } = sequences(writer!);
    // It had loaded the write sequence, then slept, then published.
    Atomics.store(writer!.cpu.words, smrCpu(reader!.record, reader!.cpu.number), loaded | 0);
    const goal = writer!.advance();
    expect(writer!.poll(goal)).toBe(false);
    expect(sequences(writer!).read, 'has not gone back').toBe(read);
    Atomics.store(writer!.cpu.words, smrCpu(reader!.record, reader!.cpu.number), 0);
    expect(writer!.poll(goal)).toBe(true);
  });
});

test('no sequence is 0, over three wraps of the test constants', () => {
  const [smr] = smrs(1, 'invariants');
  let wraps = 0;
  let last = sequences(smr!).write;
  for (let turn = 0; turn < 20_001; turn++) {
    const goal = smr!.advance();
    expect(goal).not.toBe(0);
    if (goal >>> 0 < last) wraps++;
    last = goal >>> 0;
    if (!smr!.poll(goal)) throw new Error(`goal ${goal} of turn ${turn} is not reached`);
  }
  expect(wraps).toBe(3);
  expect(smr!.statistics()).toMatchObject({ advances: 20_001, advanceWaits: 0, failures: 0 });
});

test('readers that lag by the largest distance are waited for before the sequence moves on', () => {
  const { arena, umas } = virtualCpus(3, { level: 'invariants' });
  const [reader, writer] = umas.map((uma) => uma.smr('test'));
  releaseCpu(umas[2]!.cpu);
  const impatient = Uma.attach(claimCpu(arena, { manualLeave: true, mayBlock: false })).smr('test');
  reader!.enter();
  const { read } = sequences(writer!);
  for (let turn = 0; turn < 31; turn++) writer!.advance();
  const { write } = sequences(writer!);
  expect(sequenceDelta(write, read)).toBe(31 * INVARIANTS_SEQUENCES.increment);
  for (let turn = 0; turn < 3; turn++) {
    expect(thrownBy(() => impatient.advance())).toBeInstanceOf(LockBusyError);
    expect(sequences(writer!).write, 'unchanged').toBe(write);
  }
  expect(writer!.statistics().advanceWaits).toBe(3);
  reader!.exit();
  expect(sequences(writer!).write).toBe(write);
  impatient.advance();
  expect(sequenceDelta(sequences(writer!).write, write)).toBe(INVARIANTS_SEQUENCES.increment);
  expect(fsck(umas[0]!).violations).toEqual([]);
});

test('a bounded wait says that it was not enough', () => {
  const [writer, reader] = smrs(2);
  reader!.enter();
  const goal = writer!.advance();
  const from = performance.now();
  expect(writer!.wait(goal, 5)).toBe(false);
  expect(performance.now() - from).toBeGreaterThanOrEqual(4);
  expect(writer!.wait(goal, 0)).toBe(false);
  reader!.exit();
  expect(writer!.wait(goal)).toBe(true);
});

test('a thread that may not block waits between its jobs', async () => {
  const { arena, umas } = virtualCpus(2);
  releaseCpu(umas[0]!.cpu);
  const main = Uma.attach(claimCpu(arena, { mayBlock: false, manualLeave: true })).smr('test');
  const reader = umas[1]!.smr('test');
  reader.enter();
  const goal = main.advance();
  expect(thrownBy(() => main.wait(goal))).toHaveProperty('message', expect.stringMatching(/CPU 1/));
  let waited = false;
  const waiting = main.waitAsync(goal).then(() => {
    waited = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(waited).toBe(false);
  reader.exit();
  await waiting;
  main.enter();
  await expect(main.waitAsync(goal)).rejects.toBeInstanceOf(SectionError);
  main.exit();
});

describe('misuse is a SectionError and changes nothing', () => {
  test('entering a section of the same SMR again', () => {
    const [smr, other] = smrs(2);
    smr!.enter();
    other!.advance();
    expect(thrownBy(() => smr!.enter())).toBeInstanceOf(SectionError);
    expect(other!.poll(other!.advance()), 'still protected').toBe(false);
    expect(smr!.isEntered()).toBe(true);
    smr!.exit();
    expect(smr!.isEntered()).toBe(false);
    expect(other!.synchronize()).toBe(true);
  });

  test('leaving without having entered', () => {
    const [smr] = smrs(1);
    expect(thrownBy(() => smr!.exit())).toBeInstanceOf(SectionError);
    smr!.enter();
    smr!.exit();
    expect(thrownBy(() => smr!.exit())).toBeInstanceOf(SectionError);
  });

  test('waiting for readers as one of them', () => {
    const { umas } = virtualCpus(1);
    const smr = umas[0]!.smr('one');
    const other = umas[0]!.smr('two');
    const goal = other.advance();
    smr.enter();
    const { write } = sequences(smr);
    for (const each of [smr, other]) {
      expect(thrownBy(() => each.advance())).toBeInstanceOf(SectionError);
      expect(thrownBy(() => each.synchronize())).toBeInstanceOf(SectionError);
      expect(thrownBy(() => each.wait(goal))).toBeInstanceOf(SectionError);
      expect(each.poll(goal), 'a poll is allowed').toBe(true);
    }
    expect(sequences(smr).write).toBe(write);
    smr.exit();
  });

  test.each([0.5, 2 ** 32, Number.NaN])('goal %s is an ArgumentError', (goal) => {
    const [smr] = smrs(1);
    expect(thrownBy(() => smr!.poll(goal))).toHaveProperty('name', 'ArgumentError');
    expect(thrownBy(() => smr!.wait(goal))).toHaveProperty('name', 'ArgumentError');
  });

  test.each(['', 'x'.repeat(64)])('name %j is an ArgumentError', (name) => {
    const { umas } = virtualCpus(1);
    expect(thrownBy(() => umas[0]!.smr(name))).toHaveProperty('name', 'ArgumentError');
  });
});

test('sections of different SMRs nest', () => {
  const { umas } = virtualCpus(2);
  const [outer, inner] = [umas[0]!.smr('outer'), umas[0]!.smr('inner')];
  outer.enter();
  inner.enter();
  outer.exit();
  expect(umas[1]!.smr('outer').synchronize(0)).toBe(true);
  expect(umas[1]!.smr('inner').synchronize(0)).toBe(false);
  inner.exit();
  expect(umas[1]!.smr('inner').synchronize(0)).toBe(true);
  leaveCpu(umas[0]!.cpu);
});

test('one object per thread and name, one record per name', () => {
  const { umas } = virtualCpus(2);
  expect(umas[0]!.smr('a')).toBe(umas[0]!.smr('a'));
  expect(umas[1]!.smr('a').record).toBe(umas[0]!.smr('a').record);
  expect(umas[1]!.smr('b').record).not.toBe(umas[0]!.smr('a').record);
  expect(umas[1]!.smr('b').name).toBe('b');
});

describe('a section spans neither await nor sleep', () => {
  test('the CPU does not leave in one, and leaves behind it', () => {
    const { umas } = virtualCpus(2);
    const smr = umas[0]!.smr('test');
    smr.enter();
    expect(thrownBy(() => leaveCpu(smr.cpu))).toBeInstanceOf(SectionError);
    expect(smr.cpu.words[smr.cpu.entered], 'still running').toBe(1);
    expect(umas[1]!.smr('test').synchronize(0), 'still protected').toBe(false);
    smr.exit();
    leaveCpu(smr.cpu);
    expect(smr.cpu.words[smr.cpu.entered]).toBe(0);
  });

  test('an await is found by the leave that it causes', async () => {
    const arena = Arena.create({ bytes: 1 << 20, cpus: 1 });
    const uma = Uma.attach(claimCpu(arena));
    const smr = uma.smr('test');
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
    smr.enter();
    expect(await thrown).toBeInstanceOf(SectionError);
    expect(uma.words[uma.cpu.entered], 'still running').toBe(1);
    expect(smr.isEntered()).toBe(true);
    smr.exit();
    await Promise.resolve();
    expect(uma.words[uma.cpu.entered], 'left behind the section').toBe(0);
  });

  test('a CPU is not released in one', () => {
    const [smr] = smrs(1);
    smr!.enter();
    expect(thrownBy(() => releaseCpu(smr!.cpu))).toBeInstanceOf(SectionError);
    smr!.exit();
    releaseCpu(smr!.cpu);
  });
});

describe('a CPU that dies in a section', () => {
  test('is in the way until it is known to be dead, and not for ever', () => {
    const { umas } = virtualCpus(2);
    const [writer, victim] = umas.map((uma) => uma.smr('test'));
    victim!.enter();
    const goal = writer!.advance();
    expect(writer!.poll(goal)).toBe(false);
    expect(markDead(writer!.cpu, 1, victim!.cpu.incarnation)).toBe(true);
    // Before its recovery too: that may itself have to wait for readers.
    expect(writer!.poll(goal)).toBe(true);
    expect(recover(writer!.cpu, 1, victim!.cpu.incarnation)).toBe('recovered');
    expect(fsck(umas[0]!).violations).toEqual([]);
  });

  test('is not recovered from inside a section', () => {
    const { umas } = virtualCpus(2);
    umas[0]!.smr('test').enter();
    const { incarnation } = umas[1]!.cpu;
    expect(thrownBy(() => recover(umas[0]!.cpu, 1, incarnation))).toBeInstanceOf(SectionError);
    umas[0]!.smr('test').exit();
    expect(recover(umas[0]!.cpu, 1, incarnation)).toBe('recovered');
  });

  test('leaves a number whose next thread can read', () => {
    const { arena, umas } = virtualCpus(2);
    const victim = umas[1]!;
    victim.smr('test').enter();
    expect(recover(umas[0]!.cpu, 1, victim.cpu.incarnation)).toBe('recovered');
    const next = Uma.attach(claimCpu(arena, { number: 1, manualLeave: true }));
    next.smr('test').enter();
    expect(umas[0]!.smr('test').synchronize(0)).toBe(false);
    next.smr('test').exit();
    leaveCpu(next.cpu);
    expect(umas[0]!.smr('test').synchronize(0)).toBe(true);
  });
});

test('fsck names a broken sequence', () => {
  const { umas } = virtualCpus(2);
  const smr = umas[1]!.smr('test');
  const { words } = smr.cpu;
  Atomics.store(words, smr.record + READ, 5);
  expect(fsck(umas[0]!).violations).toEqual(['11: smr test: read 5, write 1']);
  Atomics.store(words, smr.record + READ, 1);
  Atomics.store(words, smr.reader, 7);
  expect(fsck(umas[0]!).violations).toEqual([
    '11: smr test: CPU 1: sequence 7, open 0',
    '11: smr test: CPU 1 reads at 7, write 1',
  ]);
});

test('counters tell advances, polls, scans and failures apart', () => {
  const [writer, reader] = smrs(2);
  reader!.enter();
  const goal = writer!.advance();
  writer!.poll(goal);
  reader!.exit();
  writer!.poll(goal);
  writer!.poll(goal);
  expect(reader!.statistics()).toEqual({
    name: 'test',
    advances: 1,
    advanceWaits: 0,
    polls: 3,
    scans: 2,
    failures: 1,
  });
});
