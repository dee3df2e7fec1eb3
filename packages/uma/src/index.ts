export * from './bucket-ladder.ts';
export * from './flags.ts';
export * from './keg-layout.ts';
export * from './working-set.ts';
