import { expect, test } from 'vitest';
import { committedKernel, generateKernel } from '../scripts/build-kernel.mjs';

test('kernel.generated.ts is what kernel.wat builds', async () => {
  expect(await committedKernel()).toBe(await generateKernel());
});
