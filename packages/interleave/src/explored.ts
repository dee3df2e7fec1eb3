/** Explored modules without Vite and without a flag for Node. Compiled code only (see loader.ts). */

import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { LoaderData } from './loader.ts';

let isRegistered = false;

/**
 * Imports a module, and what it imports, as code for virtual CPUs; its functions that touch shared
 * memory are generators then. `include` counts at the first call of a process only, since Node's
 * hooks are registered once; source maps are enabled with them. Throws `TransformError`'s message when the module cannot be explored.
 */
export async function loadExplored(
  url: string | URL,
  options: LoaderData = {},
): Promise<Record<string, unknown>> {
  if (!isRegistered) {
    isRegistered = true;
    process.setSourceMapsEnabled(true);
    register(new URL('./loader.js', import.meta.url), { data: options });
  }
  const text = String(url);
  const href = /^[a-z]+:/.test(text) ? text : pathToFileURL(text).href;
  return import(/* @vite-ignore */ `${href}?explore`);
}
