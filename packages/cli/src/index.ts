/** `@umbuf/cli`: the umbuf command. It is run, not imported. */

export {};
