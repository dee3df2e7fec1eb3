/**
 * The generated mutants: for one source text, every change of one of these kinds. A mutant is a
 * pure replacement of one range of the text; its `id` holds no line number, so that explanations of
 * survivors (generated-survivors.json) outlive edits elsewhere in the file.
 *
 *   drop       an Atomics.store, notify, add, sub, and, or that stands alone is left out
 *   drop-plain an assignment to a shared word that stands alone is left out
 *   swap       two neighbouring statements change places, one of which is an atomic operation, a lock
 *              or an unlock (between plain stores nobody can look: the order of two is no behaviour)
 *   split      a read-modify-write becomes a load and a store
 *   plain      an Atomics.load or store becomes an element access
 *   boundary   < and <=, > and >= change places
 *   negate     the condition of an if, while or ?: is negated
 *   flag       one operand of `x | FLAG` or `x & ~FLAG` is left out
 *
 * Left out on purpose: 64-bit statistics (`longs[..] += ..`), statements that only throw, module
 * constants, and functions named in `SKIPPED` (set-up before anybody shares, reports).
 */
import { parseSync } from 'oxc-parser';

const ALONE = new Set(['store', 'notify', 'add', 'sub', 'and', 'or']);
const SPLIT = { add: '+', sub: '-', and: '&', or: '|' };
const BOUNDARY = { '<': '<=', '<=': '<', '>': '>=', '>=': '>' };
const LOCKS = /^(lock|unlock)\w*$|AndUnlock$/;
/** Shared views by the names that they have all over the sources. */
const VIEWS = new Set(['words', 'longs']);
const SKIPPED =
  /^(initRing|limitInit|mutexInit|refcountInit|taggedInit|describe\w*|check\w*|dump\w*|\w*Layout)$/;

/** All mutants of `code`, in the order of the text. `file` is its path from the root. */
export function mutantsOf(file, code) {
  const { program, errors } = parseSync(file, code);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const found = [];
  const text = ({ start, end }) => code.slice(start, end);
  const add = (operator, name, { start, end }, after, about) => {
    const before = code.slice(start, end);
    if (before === after) return;
    const line = code.slice(0, start).split('\n').length;
    const where = name.at(-1) ?? '';
    found.push({ file, operator, function: where, line, start, end, before, after, about });
  };

  const visitList = (list, name) => {
    for (let i = 0; i + 1 < list.length; i++) {
      const [first, second] = [list[i], list[i + 1]];
      if (!isSwappable(first) || !isSwappable(second)) continue;
      if (!isSynchronising(first) && !isSynchronising(second)) continue;
      if (!touches(first) || !touches(second)) continue;
      const declared = namesDeclared(first);
      if (declared.some((one) => namesUsed(second).has(one))) continue;
      const between = code.slice(first.end, second.start);
      add(
        'swap',
        name,
        { start: first.start, end: second.end },
        text(second) + between + text(first),
      );
    }
  };

  const visit = (node, name) => {
    if (node === null || typeof node !== 'object') return;
    if (Array.isArray(node)) {
      for (const one of node) visit(one, name);
      return;
    }
    if (typeof node.type !== 'string') return;
    if (/^TS(?!NonNull|As|Satisfies)/.test(node.type) || node.type === 'ImportDeclaration') return;
    let inside = name;
    if (node.type === 'FunctionDeclaration') inside = [...name, node.id.name];
    else if (node.type === 'MethodDefinition') inside = [...name, node.key.name ?? ''];
    if (inside !== name && SKIPPED.test(inside.at(-1))) return;
    if (node.type === 'ThrowStatement') return;
    // What only throws is misuse, for the unit tests.
    if (node.type === 'IfStatement' && onlyThrows(node.consequent) && node.alternate === null)
      return;
    if (node.type === 'BlockStatement' || node.type === 'Program') visitList(node.body, inside);
    if (inside.length > 0) mutate(node, inside);
    for (const key of Object.keys(node)) {
      if (key !== 'type' && key !== 'start' && key !== 'end') visit(node[key], inside);
    }
  };

  const mutate = (node, name) => {
    switch (node.type) {
      case 'ExpressionStatement': {
        const { expression } = node;
        const operation = atomic(expression);
        if (operation !== undefined && ALONE.has(operation)) add('drop', name, node, ';');
        if (isSharedAssignment(expression) && !isStatistic(expression)) {
          add('drop-plain', name, node, ';');
        }
        break;
      }
      case 'CallExpression': {
        const operation = atomic(node);
        if (operation === undefined) break;
        const args = node.arguments.map(text);
        const [array, index, value, replacement] = args;
        const at = `${array}, ${index}`;
        if (operation === 'load') add('plain', name, node, `${array}[${index}]!`);
        if (operation === 'store') add('plain', name, node, `(${array}[${index}] = ${value})`);
        if (operation === 'compareExchange') {
          add(
            'split',
            name,
            node,
            `(Atomics.load(${at}) === ${value} ? (Atomics.store(${at}, ${replacement}), ${value}) : Atomics.load(${at}))`,
          );
        }
        if (operation === 'exchange') {
          add('split', name, node, `[Atomics.load(${at}), Atomics.store(${at}, ${value})][0]!`);
        }
        if (operation in SPLIT) {
          const sum = `Atomics.load(${at}) ${SPLIT[operation]} (${value})`;
          add('split', name, node, `[Atomics.load(${at}), Atomics.store(${at}, ${sum})][0]!`);
        }
        break;
      }
      case 'BinaryExpression': {
        const other = BOUNDARY[node.operator];
        if (other !== undefined) {
          add('boundary', name, node, `${text(node.left)} ${other} ${text(node.right)}`);
        }
        if (node.operator === '|' && isFlag(node.right)) add('flag', name, node, text(node.left));
        if (node.operator === '&' && isClear(node.right)) add('flag', name, node, text(node.left));
        break;
      }
      case 'AssignmentExpression':
        if (node.operator === '|=' && isFlag(node.right)) add('flag', name, node.right, '0');
        if (node.operator === '&=' && isClear(node.right)) add('flag', name, node.right, '-1');
        break;
      case 'IfStatement':
      case 'WhileStatement':
      case 'ConditionalExpression':
        add('negate', name, node.test, `!(${text(node.test)})`);
        break;
      default:
    }
  };

  visit(program.body, []);
  return withIds(found);
}

function withIds(found) {
  const seen = new Map();
  return found.map((one) => {
    const short = one.before.replace(/\s+/g, ' ');
    const key = `${one.file} ${one.function}() ${one.operator}: ${short}`;
    const nth = (seen.get(key) ?? 0) + 1;
    seen.set(key, nth);
    return { ...one, id: nth === 1 ? key : `${key} (${nth})` };
  });
}

/** The operation's name when this is a call of `Atomics` on a shared array. */
function atomic(node) {
  if (node?.type !== 'CallExpression' || node.callee.type !== 'MemberExpression') return undefined;
  return node.callee.object.name === 'Atomics' ? node.callee.property.name : undefined;
}

function strip(node) {
  return node.type === 'TSNonNullExpression' ? strip(node.expression) : node;
}

function isShared(node) {
  const target = strip(node);
  if (target.type !== 'MemberExpression' || !target.computed) return false;
  const { object } = target;
  return (
    VIEWS.has(object.name) ||
    (object.type === 'MemberExpression' && VIEWS.has(object.property.name))
  );
}

function isSharedAssignment(node) {
  return node.type === 'AssignmentExpression' && isShared(node.left);
}

function isStatistic(node) {
  const { object } = strip(node.left);
  return (object.name ?? object.property.name) === 'longs';
}

function isFlag({ type, name, property }) {
  const word =
    type === 'Identifier' ? name : type === 'MemberExpression' ? property.name : undefined;
  return word !== undefined && (/^[A-Z][A-Z0-9_]*$/.test(word) || type === 'MemberExpression');
}

function isClear({ type, operator, argument }) {
  return type === 'UnaryExpression' && operator === '~' && isFlag(argument);
}

function onlyThrows(node) {
  if (node.type === 'ThrowStatement') return true;
  return (
    node.type === 'BlockStatement' &&
    node.body.length > 0 &&
    node.body.at(-1).type === 'ThrowStatement'
  );
}

function isSwappable({ type }) {
  return type === 'ExpressionStatement' || type === 'VariableDeclaration';
}

/** The statement is one that others wait for or look at. */
function isSynchronising(statement) {
  let found = false;
  walk(statement, (node) => {
    if (node.type !== 'CallExpression') return;
    found ||= atomic(node) !== undefined || LOCKS.test(node.callee.name ?? '');
  });
  return found;
}

/** It touches shared memory, or calls what may. */
function touches(statement) {
  let found = false;
  walk(statement, (node) => {
    found ||=
      node.type === 'CallExpression' || (node.type === 'MemberExpression' && isShared(node));
  });
  if (statement.expression !== undefined && isSharedAssignment(statement.expression)) {
    return !isStatistic(statement.expression);
  }
  return found;
}

function namesDeclared(statement) {
  if (statement.type !== 'VariableDeclaration') return [];
  return statement.declarations.flatMap(({ id }) => [...namesUsed(id)]);
}

function namesUsed(root) {
  const names = new Set();
  walk(root, (node) => {
    if (node.type === 'Identifier') names.add(node.name);
  });
  return names;
}

function walk(node, on) {
  if (node === null || typeof node !== 'object') return;
  if (typeof node.type === 'string') on(node);
  for (const key of Object.keys(node)) {
    if (key !== 'type') walk(node[key], on);
  }
}
