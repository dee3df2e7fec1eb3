/**
 * Atomics and element accesses in a generator, each a yielded op. Where the type is not known, the
 * value decides at run time: shared memory yields, anything else is accessed as it was written.
 *
 * Invariant: receiver, index and operand are evaluated once each and in the source's order; a text
 * is repeated only when nothing can change its value in between (`simple`, `stable`).
 */

import { type Rope } from '../rope.ts';
import { type Node, unwrap } from '../source.ts';
import { copy, copyList } from './copy.ts';
import type { Emitter } from './emitter.ts';
import { step, stepText } from './step.ts';

export function writeAtomic(out: Emitter, node: Node, method: string): Rope {
  if (!out.frame.isGenerator) {
    out.refuse(node, `\`Atomics.${method}\` stands ${out.frame.fn.rigid}`);
    out.usesGuards = true;
    if (!out.records) return [`(__xf.stray(${out.where(node)}), `, ...copy(out, node), ')'];
  }
  out.usesRuntime = true;
  const args = copyList(out, node.arguments);
  const comma = args.length > 0 ? ', ' : '';
  if (!out.frame.isGenerator) {
    return [`__xf.now(__rt.${method}(${out.site(node, method)}${comma}`, ...args, '))'];
  }
  return step(`__rt.${method}(${out.site(node, method)}${comma}`, ...args, ')');
}

export function writeRead(out: Emitter, node: Node, certain: boolean): Rope {
  const depth = out.frame.depth;
  const site = out.site(node, 'read');
  if (certain) {
    const object = out.emit(node.object);
    return step(`__rt.read(${site}, `, ...object, ', ', ...out.emit(node.property), ')');
  }
  const { before, object, index } = operands(out, node, false);
  out.frame.depth = depth;
  return [
    '(',
    ...before,
    `__rt.isShared(${object}) ? ${stepText(`__rt.read(${site}, ${object}, ${index})`)} : ${object}[${index}])`,
  ];
}

export function writeAssign(out: Emitter, node: Node, member: Node, certain: boolean): Rope {
  const depth = out.frame.depth;
  const site = out.site(node, 'write');
  const isUnused = out.unused.has(node);
  if (node.operator === '=') {
    if (certain) {
      return step(
        `__rt.write(${site}, `,
        ...out.emit(member.object),
        ', ',
        ...out.emit(member.property),
        ', ',
        ...out.emit(node.right),
        ')',
      );
    }
    const { before, object, index } = operands(out, member, true);
    const right = out.emit(node.right);
    const value = stable(out, node.right) ?? out.temporary();
    const set: Rope = value === stable(out, node.right) ? [] : [`${value} = `, ...right, ', '];
    out.frame.depth = depth;
    const access = `__rt.isShared(${object}) ? ${stepText(`__rt.write(${site}, ${object}, ${index}, ${value})`)} : ${object}[${index}] = ${value}`;
    return ['(', ...before, ...set, isUnused ? `${access})` : `(${access}), ${value})`];
  }
  const { before, object, index } = operands(out, member, true);
  const value = out.temporary();
  const shared = certain ? '' : out.temporary();
  const readSite = out.site(member, 'read');
  const get = certain
    ? `${value} = ${stepText(`__rt.read(${readSite}, ${object}, ${index})`)}`
    : `${shared} = __rt.isShared(${object}), ${value} = ${shared} ? ${stepText(`__rt.read(${readSite}, ${object}, ${index})`)} : ${object}[${index}]`;
  const put = certain
    ? stepText(`__rt.write(${site}, ${object}, ${index}, ${value})`)
    : `${shared} ? ${stepText(`__rt.write(${site}, ${object}, ${index}, ${value})`)} : ${object}[${index}] = ${value}`;
  const right = out.emit(node.right);
  out.frame.depth = depth;
  const operator: string = node.operator.slice(0, -1);
  if (operator === '&&' || operator === '||' || operator === '??') {
    return [
      '(',
      ...before,
      `${get}, ${value} ${operator} (${value} = `,
      ...right,
      `, (${put}), ${value}))`,
    ];
  }
  return [
    '(',
    ...before,
    `${get}, ${value} = ${value} ${operator} (`,
    ...right,
    `), (${put}), ${value})`,
  ];
}

export function writeUpdate(out: Emitter, node: Node, member: Node, certain: boolean): Rope {
  const depth = out.frame.depth;
  const site = out.site(node, 'write');
  const readSite = out.site(member, 'read');
  const { before, object, index } = operands(out, member, true);
  const value = out.temporary();
  const isPostfix = !node.prefix && !out.unused.has(node);
  const old = isPostfix ? out.temporary() : '';
  const change = isPostfix ? `${old} = ${value}${node.operator}` : `${node.operator}${value}`;
  const result = isPostfix ? old : value;
  out.frame.depth = depth;
  if (certain) {
    const get = `${value} = ${stepText(`__rt.read(${readSite}, ${object}, ${index})`)}`;
    return [
      '(',
      ...before,
      `${get}, ${change}, ${stepText(`__rt.write(${site}, ${object}, ${index}, ${value})`)}, ${result})`,
    ];
  }
  const access = `__rt.isShared(${object}) ? (${value} = ${stepText(`__rt.read(${readSite}, ${object}, ${index})`)}, ${change}, ${stepText(`__rt.write(${site}, ${object}, ${index}, ${value})`)}) : (${value} = ${object}[${index}], ${change}, ${object}[${index}] = ${value})`;
  return ['(', ...before, `(${access}), ${result})`];
}

/**
 * Object and index of `m[i]` as texts that may be repeated, and what has to be evaluated first.
 * `isLong`: other code runs between evaluation and use.
 */
function operands(
  out: Emitter,
  member: Node,
  isLong: boolean,
): { before: Rope; object: string; index: string } {
  const before: Rope = [];
  const indexIsSimple = simple(out, member.property) !== undefined;
  let object = isLong || !indexIsSimple ? stable(out, member.object) : simple(out, member.object);
  let index = isLong ? stable(out, member.property) : simple(out, member.property);
  if (object === undefined) {
    const rope = out.emit(member.object);
    object = out.temporary();
    before.push(`${object} = `, ...rope, ', ');
  }
  if (index === undefined) {
    const rope = out.emit(member.property);
    index = out.temporary();
    before.push(`${index} = `, ...rope, ', ');
  }
  return { before, object, index };
}

/** The text of an expression that may be evaluated twice without anything between. */
function simple(out: Emitter, node: Node): string | undefined {
  const inner = unwrap(node);
  const replacement = out.replaced.get(node) ?? out.replaced.get(inner);
  if (replacement !== undefined) return replacement;
  if (out.classified.guards.has(node)) return undefined;
  if (inner.type === 'Identifier' && out.scope.find(inner.name)?.kind !== 'import')
    return inner.name;
  if (inner.type === 'ThisExpression') return 'this';
  if (inner.type === 'Literal' && typeof inner.value !== 'object') return inner.raw;
  return undefined;
}

/** The same, when other code may run in between. */
export function stable(out: Emitter, node: Node): string | undefined {
  const inner = unwrap(node);
  if (inner.type === 'Identifier' && out.replaced.get(node) === undefined) {
    const binding = out.scope.find(inner.name);
    if (binding === undefined || binding.assigned || binding.kind === 'import') return undefined;
  }
  return simple(out, node);
}
