/** `@umbuf/live`: live statistics of an arena over HTTP. See docs/guide/live.md and decision 0028. */

export { collectMetrics } from './collect.ts';
export { ListenError, type RefusalCode } from './errors.ts';
export { type Json, type JsonObject, mergeApply, mergeDifference } from './merge-patch.ts';
export * from './snapshot.ts';
