/**
 * Builds src/kernel/kernel.wat into src/kernel/kernel.generated.ts, a list of bytes, so that the
 * package needs neither a file system nor a fetch at run time. Run it after every change of the
 * text: `node packages/memory/scripts/build-kernel.mjs`. test/kernel-build.test.ts builds again
 * and compares, so the committed file cannot go stale.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import loadWabt from 'wabt';

const text = new URL('../src/kernel/kernel.wat', import.meta.url);
const generated = new URL('../src/kernel/kernel.generated.ts', import.meta.url);
const BYTES_PER_LINE = 20;

/** The text of kernel.generated.ts, from kernel.wat. */
export async function generateKernel() {
  const wabt = await loadWabt();
  const features = { threads: true, simd: true, bulk_memory: true };
  const module = wabt.parseWat('kernel.wat', await readFile(text, 'utf8'), features);
  try {
    module.resolveNames();
    module.validate(features);
    const { buffer } = module.toBinary({ write_debug_names: false });
    const lines = [];
    for (let at = 0; at < buffer.length; at += BYTES_PER_LINE) {
      lines.push(`  ${[...buffer.subarray(at, at + BYTES_PER_LINE)].join(', ')},`);
    }
    return [
      '// Generated from kernel.wat by scripts/build-kernel.mjs. Do not edit.',
      `/** The compiled module, ${buffer.length} bytes. */`,
      'export const kernelBytes: Uint8Array<ArrayBuffer> = new Uint8Array([',
      ...lines,
      ']);',
      '',
    ].join('\n');
  } finally {
    module.destroy();
  }
}

/** The text of the committed kernel.generated.ts. */
export async function committedKernel() {
  return readFile(generated, 'utf8');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(generated, await generateKernel());
  console.log(fileURLToPath(generated));
}
