/** `@umbuf/smp`: Piscina workers as CPUs, comlink as the control plane. See machine.ts. */

export { type CpuDescription, describeCpus, type HandSlot, readCpu, readCpus } from './describe.ts';
export * from './errors.ts';
export { Machine } from './machine.ts';
export type { CpuSnapshot, Death, MachineOptions } from './options.ts';
export type { ThreadEnd } from './pool.ts';
export type { WorkerSnapshot } from './rpc.ts';
export type { AttachHook, Task, TaskContext } from './task.ts';
