export function generateKernel(): Promise<string>;
export function committedKernel(): Promise<string>;
