/**
 * For TypeScript: what `import ... from './ring.ts?explore'` is. Its types cannot be had from the file of
 * the same name, so they are `any`; files named `*.check.ts` need no query, and keep theirs. Name it in
 * `compilerOptions.types` as `@umbuf/interleave/client`.
 */
declare module '*?explore';
