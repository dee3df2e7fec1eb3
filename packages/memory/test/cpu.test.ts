/** CPU numbers, enter and leave, in one thread with several virtual CPUs. */
import { describe, expect, test } from 'vitest';
import {
  Arena,
  ArgumentError,
  checkpoint,
  claimCpu,
  type Cpu,
  CpuRecord,
  CpuState,
  CpuUnavailableError,
  describeState,
  enterCpu,
  leaveCpu,
  markDead,
  packState,
  Panic,
  recover,
  releaseCpu,
  stateBy,
  stateIncarnation,
} from '../src/index.ts';

const C = CpuRecord.fields;
const manual = { manualLeave: true } as const;

function makeArena(cpus = 3): Arena {
  return Arena.create({ bytes: 1 << 20, cpus, backing: 'shared-array-buffer' });
}

function state(cpu: Cpu): string {
  return describeState(Atomics.load(cpu.words, cpu.state));
}

describe('claimCpu', () => {
  test('gives the first offline number, then the next, then says that all are taken', () => {
    const arena = makeArena(2);
    expect(claimCpu(arena, manual).number).toBe(0);
    expect(claimCpu(arena, manual).number).toBe(1);
    expect(() => claimCpu(arena, manual)).toThrow(CpuUnavailableError);
    expect(() => claimCpu(arena, manual)).toThrow(/all 2 CPU numbers are taken/);
  });

  test('gives the wanted number or says what that one is doing', () => {
    const arena = makeArena();
    expect(claimCpu(arena, { ...manual, number: 2 }).number).toBe(2);
    expect(() => claimCpu(arena, { ...manual, number: 2 })).toThrow(/CPU 2 is idle/);
    for (const number of [-1, 3, 0.5, Number.NaN]) {
      expect(() => claimCpu(arena, { ...manual, number })).toThrow(ArgumentError);
    }
  });

  test('counts incarnations up, over release and over death, and wraps after 2^20', () => {
    const arena = makeArena(2);
    const supervisor = claimCpu(arena, { ...manual, number: 1 });
    const lives: number[] = [];
    for (let life = 0; life < 4; life++) {
      const cpu = claimCpu(arena, { ...manual, number: 0 });
      lives.push(cpu.incarnation);
      if (life % 2 === 0) releaseCpu(cpu);
      else recover(supervisor, 0, cpu.incarnation);
    }
    expect(lives).toEqual([1, 2, 3, 4]);
    Atomics.store(arena.words, arena.cpuTable, packState(CpuState.offline, 0xfffff));
    expect(claimCpu(arena, { ...manual, number: 0 }).incarnation).toBe(0);
  });

  test('does not take a number whose last thread is dead and not recovered', () => {
    const arena = makeArena(2);
    const dead = claimCpu(arena, manual);
    const other = claimCpu(arena, manual);
    markDead(other, dead.number, dead.incarnation);
    expect(() => claimCpu(arena, manual)).toThrow(CpuUnavailableError);
    recover(other, dead.number, dead.incarnation);
    expect(claimCpu(arena, manual).incarnation).toBe(2);
  });
});

describe('enter and leave', () => {
  test('go from idle to running and back, and count', () => {
    const cpu = claimCpu(makeArena(), manual);
    expect(state(cpu)).toBe('idle (incarnation 1)');
    enterCpu(cpu);
    expect([state(cpu), cpu.words[cpu.entered]]).toEqual(['running (incarnation 1)', 1]);
    leaveCpu(cpu);
    leaveCpu(cpu);
    expect([state(cpu), cpu.words[cpu.entered]]).toEqual(['idle (incarnation 1)', 0]);
    expect(cpu.longs[(cpu.base + C.enters.at) >> 1]).toBe(1n);
  });

  test('leave happens in a microtask behind the job', async () => {
    const cpu = claimCpu(makeArena());
    checkpoint(cpu);
    expect(cpu.words[cpu.entered]).toBe(1);
    await Promise.resolve();
    expect([state(cpu), cpu.words[cpu.entered]]).toEqual(['idle (incarnation 1)', 0]);
    checkpoint(cpu);
    await Promise.resolve();
    expect(cpu.longs[(cpu.base + C.enters.at) >> 1]).toBe(2n);
  });

  test('leave answers what was posted, also what is posted while it answers', () => {
    const arena = makeArena();
    const cpu = claimCpu(arena, manual);
    const seen: number[] = [];
    arena.hooks.answers.push((answering) => {
      seen.push(answering.words[answering.base + C.posted.at]!);
      if (seen.length === 1) Atomics.add(cpu.words, cpu.base + C.posted.at, 1);
    });
    enterCpu(cpu);
    Atomics.add(cpu.words, cpu.base + C.posted.at, 1);
    leaveCpu(cpu);
    expect(seen).toEqual([1, 2]);
    expect(cpu.words[cpu.base + C.answered.at]).toBe(2);
    expect(state(cpu)).toBe('idle (incarnation 1)');
  });

  test('an answer acknowledges only what was posted before it began', () => {
    const arena = makeArena();
    const cpu = claimCpu(arena, manual);
    arena.hooks.answers.push(() => Atomics.add(cpu.words, cpu.base + C.posted.at, 1));
    enterCpu(cpu);
    Atomics.add(cpu.words, cpu.base + C.posted.at, 1);
    checkpoint(cpu);
    expect(cpu.words[cpu.base + C.answered.at]).toBe(1);
    expect(cpu.words[cpu.base + C.posted.at]).toBe(2);
  });

  test('a hook that throws does not keep the CPU running, nor acknowledge the request', () => {
    const arena = makeArena();
    const cpu = claimCpu(arena, manual);
    let failing = true;
    arena.hooks.answers.push(() => {
      if (failing) throw new RangeError('from a hook');
    });
    enterCpu(cpu);
    Atomics.add(cpu.words, cpu.base + C.posted.at, 1);
    expect(() => leaveCpu(cpu)).toThrow('from a hook');
    expect(state(cpu)).toBe('idle (incarnation 1)');
    expect(cpu.words[cpu.base + C.answered.at]).toBe(0);
    failing = false;
    enterCpu(cpu);
    leaveCpu(cpu);
    expect(cpu.words[cpu.base + C.answered.at]).toBe(1);
  });

  test('entering or leaving a CPU that was declared dead is a panic', () => {
    const arena = makeArena();
    const cpu = claimCpu(arena, manual);
    const other = claimCpu(arena, manual);
    enterCpu(cpu);
    markDead(other, cpu.number, cpu.incarnation);
    expect(() => leaveCpu(cpu)).toThrow(/declared dead wrongly/);
    expect(() => enterCpu(cpu)).toThrow(Panic);
  });
});

describe('releaseCpu', () => {
  test('answers, goes offline, and is refused the second time', () => {
    const arena = makeArena();
    let answers = 0;
    arena.hooks.answers.push(() => void answers++);
    const cpu = claimCpu(arena, manual);
    releaseCpu(cpu);
    expect(state(cpu)).toBe('offline (incarnation 1)');
    expect(answers).toBe(1);
    expect(() => releaseCpu(cpu)).toThrow(CpuUnavailableError);
    expect(() => enterCpu(cpu)).toThrow(CpuUnavailableError);
  });

  test('a leave still queued cannot touch the number once another life has entered it', async () => {
    const arena = makeArena(1);
    const first = claimCpu(arena);
    enterCpu(first); // queues a leave
    releaseCpu(first);
    const second = claimCpu(arena, manual);
    enterCpu(second);
    await Promise.resolve(); // the first life's microtask runs
    expect(state(second)).toBe('running (incarnation 2)');
    expect(second.words[second.entered]).toBe(1);
    leaveCpu(second);
  });
});

test('the state word packs kind, claimer and incarnation without overlap', () => {
  for (const incarnation of [0, 1, 0x80000, 0xfffff]) {
    const word = packState(CpuState.recovering, incarnation) | (250 << 4);
    expect(stateIncarnation(word)).toBe(incarnation);
    expect(stateBy(word)).toBe(249);
    expect(word & 15).toBe(CpuState.recovering);
    expect(word).toBe(word | 0);
  }
  expect(describeState(packState(CpuState.claimed, 7) | (3 << 4))).toBe(
    'claimed by 2 (incarnation 7)',
  );
});
