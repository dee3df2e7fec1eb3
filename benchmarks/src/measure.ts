/**
 * One row in this process: `node measure.js NAME EFFORT-JSON SIDE` prints its Measurement as JSON.
 * Started by main.ts, a process per row, so that no row's types reach another's call sites.
 */

import { ALL_ROWS } from './lib/rows.ts';
import type { Effort, RowModule, SideName } from './lib/row.ts';

const [name = '', effort = '', side = 'subject'] = process.argv.slice(2);
const row = ALL_ROWS.find((candidate) => candidate.name === name);
if (row === undefined) throw new Error(`no row ${name}`);
const module = (await import(`./${row.module}`)) as RowModule;
const measured = await module.measure(name, JSON.parse(effort) as Effort, side as SideName);
process.stdout.write(JSON.stringify(measured));
