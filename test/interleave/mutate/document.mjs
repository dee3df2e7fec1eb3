/** docs/interleave-mutants-generated.md: the page that generated.mjs writes from its results. */

const KINDS = ['equivalent', 'performance', 'bookkeeping', 'not covered'];

function table(rows) {
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Code in a table cell. */
function code(text) {
  const short = text.replace(/\s+/g, ' ').replaceAll('|', '\\|');
  return `\`${short.length > 110 ? `${short.slice(0, 107)}...` : short}\``;
}

function count(list, of) {
  return list.filter(of).length;
}

/** The page, the survivors without an explanation, and the explained mutants that were killed. */
export function page({ all, wanted, results, explained, files }) {
  const killed = ({ id }) => results[id]?.kill !== '' && results[id] !== undefined;
  const byUnit = ({ id }) => results[id]?.kill === '' && results[id].unit === true;
  const isEndless = (id) => (results[id]?.cut ?? []).length > 0;
  const endless = ({ id }) =>
    results[id]?.kill === '' && results[id].unit !== true && isEndless(id);
  const survived = ({ id }) =>
    results[id]?.kill === '' && results[id].unit !== true && !isEndless(id);
  const survivors = wanted.filter(survived);
  const unexplained = survivors.filter(({ id }) => explained[id] === undefined).map(({ id }) => id);
  const wrong = wanted.filter((one) => killed(one) && explained[one.id]).map(({ id }) => id);
  const row = (name, of) => {
    const own = wanted.filter(of);
    const figures = [killed, endless, byUnit, survived].map((one) => count(own, one));
    return [name, count(all, of), own.length, ...figures];
  };
  const operators = [...new Set(all.map(({ operator }) => operator))];
  const perOperator = operators.map((name) => row(name, ({ operator }) => operator === name));
  const perFile = files.map((path) =>
    row(`\`${path.replace('packages/', '')}\``, ({ file }) => file === path),
  );
  const head = ['', 'made', 'run', 'killed by a check', 'endless', 'by a unit test', 'survive'];
  const line = head.map(() => '---');
  const total = row('all', () => true);
  const verdicts = new Map();
  for (const one of wanted.filter(killed)) {
    const kind = results[one.id].kill.split(':')[0];
    verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
  }
  const sections = KINDS.map((kind) => {
    const own = survivors.filter(({ id }) => explained[id]?.kind === kind);
    if (own.length === 0) return '';
    const rows = own.map(({ id, file, function: name, operator, before }) => [
      `${file.split('/').at(-1)} \`${name}\``,
      operator,
      code(before),
      explained[id].why,
    ]);
    return `### ${kind[0].toUpperCase()}${kind.slice(1)} (${own.length})\n\n${table([['where', 'change', 'of', 'why'], ['---', '---', '---', '---'], ...rows])}\n`;
  }).filter((text) => text !== '');
  const text = `# Generated mutants, and which survive

Written by \`pnpm test:mutants --generated\`; the explanations stand in
\`test/interleave/mutate/generated-survivors.json\`. The hand-made table, with the checks that must kill
each mutant, is in [interleave-mutants.md](interleave-mutants.md).

The mutants are made from the syntax tree of the sources that hold protocols between CPUs. Each is run
against the checks that concern its file, some hundred schedules of systematic search and as many at random
for each check, ended by the first kill. A check that merely no longer reaches a case kills nothing. Of
${all.length} mutants a sample of ${wanted.length} was run, chosen by a hash of file, function and text, so that the same
mutant is in or out whatever else changes (\`--all\` runs all of them, in some hours). The last three
operators change what a single thread does; above \`memory\` they are left to the unit tests
(\`--unit\` runs the survivors against those too).

| operator | what it does |
| --- | --- |
| drop | an \`Atomics\` store, notify, add, sub, and, or that stands alone is left out |
| drop-plain | a plain store to a shared word that stands alone is left out |
| swap | two neighbouring statements change places, one of which is an atomic operation, a lock or an unlock |
| split | a read-modify-write becomes a load and a store |
| plain | an \`Atomics\` load or store becomes an element access |
| boundary | \`<\` and \`<=\`, \`>\` and \`>=\` change places |
| negate | a condition is negated |
| flag | one operand of \`x \\| FLAG\` or \`x & ~FLAG\` is left out |

## Figures

${table([head, line, ...perOperator, total])}

${table([head, line, ...perFile])}

*Endless*: no check failed, but runs were cut after 2,000 steps, of which the check has none without the
mutant. The explorer prints that and does not call it a failure.

The checks' verdicts: ${[...verdicts]
    .toSorted((a, b) => b[1] - a[1])
    .map(([kind, n]) => `${kind} ${n}`)
    .join(', ')}. A
\`set-up\` is an exception before the first schedule, \`hangs\` an endless loop without shared access.

## Survivors

*Equivalent*: no run can tell. *Performance*: the result is right, and late or dear. *Bookkeeping*: only a
count that nothing decides by is wrong. *Not covered*: a check could tell, and none does.

${sections.join('\n')}`;
  return { text, unexplained, wrong };
}
