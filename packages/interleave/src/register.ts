/** `node --import @umbuf/interleave/register app.js`: makes `?explore` imports work in Node. */

import { register } from 'node:module';

register(new URL('./loader.js', import.meta.url));
