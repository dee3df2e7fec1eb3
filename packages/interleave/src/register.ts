/** `node --import @umbuf/interleave/register app.js`: makes `?explore` imports work in Node. */

import { register } from 'node:module';

// Stack traces name the lines that were written, not what they became.
process.setSourceMapsEnabled(true);
register(new URL('./loader.js', import.meta.url));
