/** `@umbuf/interleave/runtime`: what transformed code imports as `__rt`. Nothing from `node:`. */
export * from './ops.ts';
export { Date, performance } from './time.ts';
export { Op, type ModuleSites, type Site, type Steps } from './protocol.ts';
export { perform } from './perform.ts';
