/** `@umbuf/workload`: scenarios, capture readers, the packet pipeline. */

export * from './capture/index.ts';
