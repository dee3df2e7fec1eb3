/**
 * JSON merge patch (RFC 7386): the difference of two documents made of objects, numbers and texts.
 * The page in the browser applies what the server computes, so this file runs in both.
 *
 * Keys come from the arena (a zone may be named `__proto__`): documents that a patch is applied to have
 * no prototype.
 */

export type Json = null | boolean | number | string | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** What makes `after` of `before`; undefined when they are equal. Neither holds a null. */
export function mergeDifference(before: Json, after: Json): Json | undefined {
  if (!isObject(before) || !isObject(after)) return before === after ? undefined : after;
  const patch = emptyObject();
  let differs = false;
  for (const key of Object.keys(before)) {
    if (Object.hasOwn(after, key)) continue;
    patch[key] = null;
    differs = true;
  }
  for (const key of Object.keys(after)) {
    const old = Object.hasOwn(before, key) ? before[key]! : undefined;
    const change = old === undefined ? after[key]! : mergeDifference(old, after[key]!);
    if (change === undefined) continue;
    patch[key] = change;
    differs = true;
  }
  return differs ? patch : undefined;
}

/** The document with the patch applied; `target` is changed where it is an object. */
export function mergeApply(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? target : emptyObject();
  for (const key of Object.keys(patch)) {
    const change = patch[key]!;
    if (change === null) delete result[key];
    else result[key] = mergeApply(result[key] ?? null, change);
  }
  return result;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null;
}

function emptyObject(): JsonObject {
  return Object.create(null) as JsonObject;
}
