/** One step of a bounded spin. `Atomics.pause` where the engine has it (Node 24), else nothing. */

type Pause = (() => void) | undefined;

const pause: Pause = (Atomics as unknown as { pause?: () => void }).pause;

/** A hint to the processor that this is a spin; never a synchronisation. */
export const spinHint: () => void = pause === undefined ? () => {} : pause;
