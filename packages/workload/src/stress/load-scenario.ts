/**
 * Loads a scenario by name or by file. The known ones are a small file each in ../scenario; a
 * user's own is a module whose default export is a scenario, in JavaScript or TypeScript (types
 * are stripped where Node does not do that itself).
 */

import { register } from 'node:module';
import type { Scenario } from '../scenario/scenario.ts';

const known = [
  'churn',
  'producer-consumer',
  'refcount',
  'mstress',
  'larson',
  'limit',
  'zone-limit',
] as const;

/** Names of the scenarios that ship with Umbuf. */
export const scenarioNames: readonly string[] = known;

/** The scenario is not one, or its file cannot be loaded; the message says which and why. */
export class ScenarioError extends Error {
  override name = 'ScenarioError';
}

let stripping = false;

/** `reference`: a known name, or the `file:` URL of a module. */
export async function loadScenario(reference: string): Promise<Scenario> {
  if (!reference.startsWith('file:')) {
    if (!scenarioNames.includes(reference)) {
      throw new ScenarioError(`no scenario ${reference}; there are ${scenarioNames.join(', ')}`);
    }
    return checked(reference, await import(`../scenario/${reference}.js`));
  }
  if (/\.m?ts$/.test(reference) && !nodeStripsTypes() && !stripping) {
    register('./type-stripper.js', import.meta.url);
    stripping = true;
  }
  let module: unknown;
  try {
    module = await import(reference);
  } catch (error) {
    throw new ScenarioError(`${reference}: ${(error as Error).message}`, { cause: error });
  }
  return checked(reference, module);
}

function checked(reference: string, module: unknown): Scenario {
  const scenario = (module as { default?: unknown }).default as Partial<Scenario> | undefined;
  for (const key of ['start', 'step', 'finish'] as const) {
    if (typeof scenario?.[key] !== 'function') {
      throw new ScenarioError(`${reference}: the default export has no function ${key}`);
    }
  }
  if (!Array.isArray(scenario!.zones) || typeof scenario!.name !== 'string') {
    throw new ScenarioError(`${reference}: the default export needs a name and a list of zones`);
  }
  return scenario as Scenario;
}

function nodeStripsTypes(): boolean {
  return Boolean((process.features as { typescript?: unknown }).typescript);
}
